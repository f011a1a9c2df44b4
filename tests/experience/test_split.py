from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Split
from rayrl.experience.ragged import Ragged, offsets_of
from rayrl.experience.split import select_split, split, split_by_stratum, uniform_of, with_split
from rayrl.rollout.origin import Origin


def ids(episodes: list[int]) -> NDArray[np.uint64]:
    return np.array([[7, episode] for episode in episodes], np.uint64).reshape(-1, 2)


def test_the_split_of_a_seed_never_changes() -> None:
    def mix(z: int) -> int:
        """SplitMix64 in Python's integers."""
        z = (z + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    assert mix(0) == 0xE220A8397B1DCDAF  # the generator's published first output for seed 0
    rank = sorted(range(20), key=lambda episode: mix(mix(mix(0) ^ 7) ^ episode))
    codes = split(ids(list(range(20))), 0.2, seed=0)
    assert np.flatnonzero(codes == Split.val).tolist() == sorted(rank[:4]) == [3, 14, 15, 18]


@given(st.sets(st.integers(0, 2**64 - 1), min_size=2, max_size=30), st.floats(0.001, 0.999), st.integers())
def test_both_sides_hold_an_episode_and_nearly_the_fraction(
    episodes: set[int], val_fraction: float, seed: int
) -> None:
    codes = split(ids(sorted(episodes)), val_fraction, seed)
    num_val = int((codes == Split.val).sum())
    assert set(codes.tolist()) == {Split.train, Split.val}
    assert num_val in {1, len(episodes) - 1} or abs(num_val - val_fraction * len(episodes)) <= 0.5


def test_an_experiment_that_is_run_again_is_split_alike() -> None:
    numbers = np.arange(30)
    of_runs = [
        Origin(run, seed=0, producer=1).episode_ids(0, numbers % 4, numbers // 4) for run in ("a_1", "a_2")
    ]
    assert (of_runs[0] != of_runs[1]).any()
    first, again = (split(episodes, 0.3, seed=2) for episodes in of_runs)
    assert first.tolist() == again.tolist()
    assert uniform_of(of_runs[0], 3).tolist() == uniform_of(of_runs[1], 3).tolist()


@given(st.permutations(list(range(12))))
def test_the_order_of_trajectories_does_not_matter(order: list[int]) -> None:
    in_order = split(ids(list(range(12))), 0.3, seed=5)
    assert split(ids(order), 0.3, seed=5).tolist() == in_order[order].tolist()


def test_parts_of_an_episode_stay_together() -> None:
    codes = split(ids([3, 1, 3, 2, 1, 3]), 0.5, seed=0)
    assert codes[0] == codes[2] == codes[5]
    assert codes[1] == codes[4]
    assert set(codes.tolist()) == {Split.train, Split.val}


def test_each_stratum_has_its_part_on_both_sides() -> None:
    n = 14
    batch = TrajectoryBatch(
        {"rewards": np.zeros(n, np.float32)},
        np.arange(n + 1),
        {"episode_id": ids(list(range(n))), "who": Ragged.from_text(["a"] * 10 + ["b"] * 4)},
    )
    for seed in range(20):
        codes = with_split(batch, 0.2, seed, strata="who").trajectory_columns["split"]
        assert (np.asarray(codes)[:10] == Split.val).sum() == 2
        assert (np.asarray(codes)[10:] == Split.val).sum() == 1
    with pytest.raises(DataError, match="where"):
        with_split(batch, 0.2, 0, strata="where")


def held_out(counts: list[int], val_fraction: float, seed: int) -> list[int]:
    """How many of each stratum's episodes are for validation."""
    strata = [f"person {number}" for number, count in enumerate(counts) for _ in range(count)]
    codes = split_by_stratum(ids(list(range(len(strata)))), strata, val_fraction, seed)
    sides = np.split(codes == Split.val, np.cumsum(counts)[:-1])
    return [int(side.sum()) for side in sides]


@pytest.mark.parametrize(
    ("counts", "val_fraction", "total"),
    [
        ([1] * 20, 0.1, 2),
        ([2] * 20, 0.1, 4),
        ([1] * 8, 0.1, 1),  # 0.8 episodes
        ([4] * 10, 0.1, 4),
        ([3] * 10 + [1] * 10, 0.1, 4),
        ([26, 5, 5], 0.1, 4),  # 2.6 and 1.0 episodes
        ([1] * 20, 0.9, 18),
        ([1] * 4, 0.9, 3),  # 3.6 episodes, but never all
    ],
)
def test_small_strata_together_give_the_fraction(counts: list[int], val_fraction: float, total: int) -> None:
    for seed in range(10):
        found = held_out(counts, val_fraction, seed)
        assert sum(found) == total
        assert all(held <= 1 for held, count in zip(found, counts, strict=True) if count <= 5)


def test_a_stratum_keeps_its_last_episode_where_another_can_give_one() -> None:
    for seed in range(20):
        # 0.1 · 23 = 2.3: two, and three have one to spare
        assert held_out([1] * 17 + [2] * 3, 0.1, seed)[:17] == [0] * 17
        # 0.1 · 12 = 1.2: one
        assert held_out([1] * 10 + [2], 0.1, seed) == [0] * 10 + [1]
        # 0.1 · 22 = 2.2: two, of which one is of somebody who has no other
        found = held_out([1] * 20 + [2], 0.1, seed)
        assert (found[-1], sum(found)) == (1, 2)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([10, 4], [1, 1]),  # the only one that is too small for 0.1 still has one on each side
        ([40, 8, 8], [4, 1, 1]),
        ([36, 1], [4, 0]),
        ([1], [0]),
        ([1, 1, 1, 1, 1], [0] * 5),  # 0.5 episodes, rounded to even
    ],
)
def test_large_strata_are_split_as_if_they_were_alone(counts: list[int], expected: list[int]) -> None:
    for seed in range(10):
        assert held_out(counts, 0.1, seed) == expected
    strata = ["a"] * 10 + ["b"] * 4
    apart = [split(ids(list(range(10))), 0.1, 3), split(ids(list(range(10, 14))), 0.1, 3)]
    assert split_by_stratum(ids(list(range(14))), strata, 0.1, 3).tolist() == np.concatenate(apart).tolist()


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=12), st.sampled_from([0.0, 0.1, 0.3, 0.6]), st.randoms()
)
def test_strata_are_split_alike_in_any_order_and_nobody_loses_all_without_need(
    counts: list[int], val_fraction: float, random: Random
) -> None:
    strata = [f"person {number}" for number, count in enumerate(counts) for _ in range(count)]
    codes = split_by_stratum(ids(list(range(len(strata)))), strata, val_fraction, seed=1)
    order = list(range(len(strata)))
    random.shuffle(order)
    shuffled = split_by_stratum(ids(order), [strata[i] for i in order], val_fraction, seed=1)
    assert shuffled.tolist() == codes[order].tolist()
    assert (codes == Split.train).any()
    found = [int((codes[np.array(strata) == name] == Split.val).sum()) for name in dict.fromkeys(strata)]
    assert all(held < count for held, count in zip(found, counts, strict=True) if count > 1)
    if not val_fraction:
        assert sum(found) == 0


def test_parts_of_an_episode_stay_together_in_a_small_stratum() -> None:
    codes = split_by_stratum(ids([1, 1, 2, 2, 3, 3]), ["a", "a", "a", "a", "b", "b"], 0.1, seed=0)
    assert codes[0] == codes[1] != codes[2] == codes[3]
    assert codes[4] == codes[5] == Split.train


def test_another_seed_gives_another_split() -> None:
    splits = {tuple(split(ids(list(range(40))), 0.5, seed).tolist()) for seed in range(20)}
    assert len(splits) == 20


@pytest.mark.parametrize(("episodes", "val_fraction"), [([1], 0.5), ([1, 2, 3], 0), ([], 0.5)])
def test_without_two_episodes_or_a_fraction_all_are_for_training(
    episodes: list[int], val_fraction: float
) -> None:
    assert split(ids(episodes), val_fraction, seed=0).tolist() == [Split.train] * len(episodes)


@pytest.mark.parametrize("val_fraction", [-0.1, 1, float("nan")])
def test_a_fraction_that_is_none_is_refused(val_fraction: float) -> None:
    with pytest.raises(ValueError, match="val_fraction"):
        split(ids([1, 2]), val_fraction, seed=0)


def test_the_sides_of_a_batch_are_its_trajectories() -> None:
    lengths = [2, 1, 3, 2]
    batch = TrajectoryBatch({"obs": np.arange(8)}, offsets_of(lengths), {"episode_id": ids([1, 2, 3, 4])})
    marked = with_split(batch, 0.25, seed=3)
    train, val = select_split(marked, Split.train), select_split(marked, Split.val)
    assert (train.num_trajectories, val.num_trajectories) == (3, 1)
    assert sorted([*train.columns["obs"], *val.columns["obs"]]) == list(range(8))
    with pytest.raises(DataError, match="has not been split"):
        select_split(batch, Split.val)
    with pytest.raises(DataError, match="episode_id"):
        with_split(batch.drop(["episode_id"]), 0.25, seed=3)
