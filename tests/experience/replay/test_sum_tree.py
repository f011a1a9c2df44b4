import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayrl.experience.replay.sum_tree import SumTrees


def trees(weights: np.ndarray) -> SumTrees:
    made = SumTrees(weights.shape[1])
    made.grow(len(weights))
    made.leaves[:] = weights
    block, offset = (where.reshape(-1) for where in np.indices(weights.shape))
    made.refresh(block, offset)
    return made


@given(st.sampled_from([16, 32, 256, 4096]), st.integers(1, 4), st.integers(0, 2**32), st.floats(0, 0.99))
def test_targets_fall_where_the_running_sum_passes_them(
    rows: int, blocks: int, seed: int, empty: float
) -> None:
    rng = np.random.default_rng(seed)
    # Small integers have sums without rounding.
    weights = rng.integers(1, 9, (blocks, rows)) * (rng.random((blocks, rows)) >= empty)
    weights[rng.integers(blocks), rng.integers(rows)] = 5
    made = trees(weights.astype(np.float32))
    assert made.roots.tolist() == weights.sum(1).tolist()
    entries = rng.permutation(blocks)
    running = np.cumsum(weights[entries])
    targets = np.append(rng.random(50) * running[-1], [0, running[-1] - 1e-9])
    block, offset, weight = made.find(targets, entries)
    expected = np.searchsorted(running, targets, side="right")
    assert (entries[expected // rows] == block).all()
    assert (expected % rows == offset).all()
    assert (weight == weights[block, offset]).all()


@pytest.mark.parametrize("rows", [16, 512])
def test_a_target_past_the_end_falls_on_the_last_weight(rows: int) -> None:
    weights = np.zeros((3, rows), np.float32)
    weights[0, 3], weights[1, 7] = 0.1, 0.3
    made = trees(weights)
    total = made.roots.sum()
    block, offset, _ = made.find(np.array([total, np.nextafter(total, 1)]), np.arange(3))
    assert (block.tolist(), offset.tolist()) == ([1, 1], [7, 7])


def test_changed_leaves_change_the_sums_above_them() -> None:
    made = trees(np.ones((2, 4096), np.float32))
    made.leaves[1, 4000] = 11
    made.refresh(np.array([1]), np.array([4000]))
    assert made.roots.tolist() == [4096, 4106]
