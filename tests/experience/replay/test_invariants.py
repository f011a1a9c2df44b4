"""Whatever is added, the buffer holds what its eviction says, and its index agrees with itself."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayrl.experience.replay import PriorityOptions, ReplayBuffer
from rayrl.experience.replay.storage import reservoir_keys
from tests.experience.replay.building import (
    OPEN,
    TERMINATED,
    TRUNCATED,
    Part,
    batch,
    buffer,
    check_index,
    held,
)

SLOTS = 3


@dataclass
class Episodes:
    """Episodes that sub-environments play, one after another; now and then a batch of one is lost."""

    number: list[int] = field(default_factory=lambda: list(range(SLOTS)))
    step: list[int] = field(default_factory=lambda: [0] * SLOTS)
    begun: int = SLOTS

    def play(self, slot: int, steps: int, end: str) -> Part:
        part = self.number[slot], self.step[slot], steps, end
        self.step[slot] += steps
        if end != OPEN:
            self.number[slot], self.step[slot] = self.begun, 0
            self.begun += 1
        return part


@st.composite
def histories(draw: st.DrawFn) -> list[list[Part]]:
    """Batches of parts, each going on where the last one of its sub-environment ended, or after a gap."""
    episodes, found = Episodes(), []
    for _ in range(draw(st.integers(1, 12))):
        parts = []
        for slot in draw(st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=5)):
            if draw(st.integers(0, 9)) == 0:
                episodes.play(slot, draw(st.integers(1, 3)), OPEN)
            steps = draw(st.one_of(st.integers(1, 4), st.integers(1, 40)))
            parts.append(
                episodes.play(slot, steps, draw(st.sampled_from([OPEN, OPEN, TERMINATED, TRUNCATED])))
            )
        found.append(parts)
    return found


def arrived(history: list[list[Part]]) -> list[int]:
    """What all steps show, in the order in which they came."""
    return [1000 * e + s for parts in history for e, first, n, _ in parts for s in range(first, first + n)]


def trajectories(history: list[list[Part]]) -> list[list[int]]:
    """The same as trajectories, each in the order in which it began: parts without a gap are one."""
    open_at: dict[int, list[int]] = {}
    found: list[list[int]] = []
    for parts in history:
        for episode, first, steps, end in parts:
            shown = list(range(1000 * episode + first, 1000 * episode + first + steps))
            if episode in open_at and open_at[episode][-1] == shown[0] - 1:
                open_at[episode] += shown
            else:
                found.append(shown)
                open_at[episode] = shown
            if end != OPEN:
                del open_at[episode]
    return found


def filled(history: list[list[Part]], capacity: int | None, **options: Any) -> ReplayBuffer:
    of = buffer(capacity, **options)
    for parts in history:
        of.add(batch(parts))
        check_index(of)
    return of


@settings(max_examples=30, deadline=None)
@given(histories(), st.integers(1, 120), st.booleans())
def test_fifo_by_steps_holds_the_newest_steps(
    history: list[list[Part]], capacity: int, prioritized: bool
) -> None:
    of = filled(history, capacity, priorities=PriorityOptions() if prioritized else None)
    newest = set(arrived(history)[-capacity:])
    kept = [[shown for shown in one if shown in newest] for one in trajectories(history)]
    assert sorted(held(of)) == sorted(one for one in kept if one)
    assert len(of) == min(capacity, len(arrived(history)))


@settings(max_examples=30, deadline=None)
@given(histories(), st.integers(1, 6))
def test_fifo_by_trajectories_holds_no_more_and_nothing_torn(
    history: list[list[Part]], capacity: int
) -> None:
    of = filled(history, capacity, unit="trajectories")
    assert of.num_trajectories <= capacity
    check_index(of)
    all_steps = set(arrived(history))
    for one in held(of):
        assert np.diff(one).tolist() == [1] * (len(one) - 1)
        assert set(one) <= all_steps


@settings(max_examples=30, deadline=None)
@given(histories(), st.integers(1, 6), st.integers(0, 3))
def test_a_reservoir_of_trajectories_holds_those_with_the_lowest_keys(
    history: list[list[Part]], capacity: int, seed: int
) -> None:
    of = filled(history, capacity, unit="trajectories", eviction="reservoir", seed=seed)
    everything = trajectories(history)
    ids = np.array([[0, one[0] // 1000] for one in everything], np.uint64)
    keys = reservoir_keys(ids, of.options)
    assert of.num_trajectories <= capacity
    threshold = of.storage.partitions[0].threshold
    # Whole trajectories only: of an episode that was turned away nothing is taken in later.
    assert held(of) == [one for one, key in zip(everything, keys, strict=True) if key < threshold]
    if len(set(keys)) == len(keys):
        assert len(held(of)) == min(capacity, len(keys))


@settings(max_examples=30, deadline=None)
@given(histories(), st.integers(1, 100))
def test_a_reservoir_by_steps_holds_no_more_and_only_the_lowest_keys(
    history: list[list[Part]], capacity: int
) -> None:
    of = filled(history, capacity, eviction="reservoir")
    assert len(of) <= capacity
    counters = of.storage.partitions[0].counters
    assert counters.steps_added + counters.steps_refused == len(arrived(history))
    for one in held(of):
        key = reservoir_keys(np.array([[0, one[0] // 1000]], np.uint64), of.options)[0]
        assert key < of.storage.partitions[0].threshold


@settings(max_examples=30, deadline=None)
@given(histories(), st.integers(1, 100), st.sampled_from(["fifo", "reservoir"]), st.booleans())
def test_row_ids_rise_stay_and_are_not_given_twice(
    history: list[list[Part]], capacity: int, eviction: str, by_trajectory: bool
) -> None:
    unit = "trajectories" if by_trajectory else "steps"
    of = buffer(capacity // 10 + 1 if by_trajectory else capacity, unit=unit, eviction=eviction)
    shown_by: dict[int, int] = {}
    for parts in history:
        before = max(shown_by, default=-1)
        of.add(batch(parts))
        if not len(of):
            continue
        drawn = of.sample_transitions(200)
        actions: Any = drawn.columns["actions"]
        for row_id, shown in zip(drawn.row_ids.tolist(), actions.tolist(), strict=True):
            assert shown_by.setdefault(row_id, shown) == shown
            is_new = shown in set(arrived([parts]))
            assert is_new or row_id <= before or before == -1 or row_id in shown_by
        rows, live = of.storage.index.find(np.array(sorted(shown_by)))
        alive = {shown for one in held(of) for shown in one}
        assert live.tolist() == [shown_by[row_id] in alive for row_id in sorted(shown_by)]
        assert (of.storage.index.offsets(rows.block, rows.row) == rows.offset).all()


@pytest.mark.parametrize("capacity", [1, 5, 16, 17, 40])
def test_an_endless_episode_is_kept_within_the_capacity(capacity: int) -> None:
    of = buffer(capacity)
    for first in range(0, 200, 10):
        of.add(batch([(0, first, 10, OPEN)]))
        check_index(of)
    assert held(of) == [list(range(200 - capacity, 200))]


def test_fifo_by_trajectories_lets_the_oldest_go_whole() -> None:
    of = buffer(2, unit="trajectories")
    of.add(batch([(0, 0, 20, OPEN), (1, 0, 2, TERMINATED)]))
    of.add(batch([(0, 20, 1, OPEN)]))
    assert held(of) == [list(range(21)), [1000, 1001]]
    of.add(batch([(2, 0, 1, TERMINATED)]))
    assert held(of) == [[1000, 1001], [2000]]
    of.add(batch([(0, 21, 2, TERMINATED)]))  # what came before it is gone, so that another one begins
    assert held(of) == [[2000], [21, 22]]


def test_a_reservoir_gives_memory_back_as_its_blocks_thin_out() -> None:
    of = buffer(64, eviction="reservoir")
    for episode in range(400):
        of.add(batch([(episode, 0, 4, TERMINATED)]))
    check_index(of)
    blocks = of.storage.index.blocks.rows
    used = blocks[blocks["number"] >= 0]
    assert len(of) == 64
    assert used["stored"].sum() <= 2 * 64 + 16
