"""What RLlib 2.60's replay buffers get wrong, by the numbers of the list of defects, is right here."""

import numpy as np
import pytest

from rayrl.experience.replay import ReplayBuffer
from tests.experience.replay.building import OPEN, TERMINATED, batch, buffer, check_index, held


@pytest.mark.parametrize("capacity", [60, 200, 1200])
def test_d12_an_episode_that_is_still_being_extended_is_evicted(capacity: int) -> None:
    """EpisodeReplayBuffer raises IndexError; here 8 environments play episodes of up to 180 steps."""
    of, rng = buffer(capacity, block_rows=64), np.random.default_rng(3)
    number, step = list(range(8)), [0] * 8
    arrived: list[int] = []
    for _ in range(400):
        parts = []
        for slot in range(8):
            steps = int(rng.integers(1, 6))
            end = TERMINATED if step[slot] + steps > 170 or rng.random() < 0.01 else OPEN
            parts.append((number[slot], step[slot], steps, end))
            arrived += [1000 * number[slot] + s for s in range(step[slot], step[slot] + steps)]
            step[slot] += steps
            if end != OPEN:
                number[slot], step[slot] = max(number) + 1, 0
        of.add(batch(parts))
        of.sample_transitions(32, n_step=3)
    check_index(of)
    assert sorted(shown for one in held(of) for shown in one) == sorted(arrived[-capacity:])


def test_d13_n_step_returns_near_the_end_of_an_unfinished_episode() -> None:
    """EpisodeReplayBuffer shortens the return and still says n; here γⁿ is that of the steps taken."""
    of = buffer()
    of.add(batch([(1, 0, 5, OPEN)]))
    drawn = of.sample_transitions(200, n_step=3, gamma=0.5)
    left = np.minimum(3, 5 - (drawn.columns["actions"] - 1000))  # type: ignore[operator]
    np.testing.assert_array_equal(drawn.columns["n_steps"], left)  # type: ignore[arg-type]
    np.testing.assert_array_equal(drawn.columns["discounts"], 0.5**left)  # type: ignore[arg-type]
    assert (drawn.next_obs[:, 0].numpy() == drawn.columns["actions"] + left).all()


def test_d14_extra_columns_are_of_their_own_step() -> None:
    """EpisodeReplayBuffer gives those of the episode's first step."""
    of = buffer()
    for first in range(0, 60, 4):
        of.add(batch([(1, first, 4, OPEN), (2, first, 4, OPEN)]))
    drawn = of.sample_transitions(500)
    assert (drawn.columns["note"] == -drawn.columns["actions"]).all()  # type: ignore[operator]
    fragments = of.sample_fragments(100, 7)
    assert (fragments.tensor("note") == -fragments.actions).all()


def test_d15_one_endless_episode_does_not_grow_for_ever() -> None:
    """EpisodeReplayBuffer enforces its capacity only where there is more than one episode."""
    for eviction in ("fifo", "reservoir"):
        of: ReplayBuffer = buffer(50, eviction=eviction)
        for first in range(0, 500, 10):
            of.add(batch([(0, first, 10, OPEN)]))
            assert len(of) <= 50
        assert held(of) == [list(range(450, 500))]
        assert len(of.storage.partitions[0].blocks) <= 5
