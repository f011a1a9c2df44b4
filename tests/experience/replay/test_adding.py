"""Adding: what is refused, what is passed over, what goes where."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from rayrl.errors import ConfigError, DataError, StorageError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Split
from rayrl.experience.ragged import Ragged
from rayrl.experience.replay import PartitionOptions, ReplayBuffer, ReplayOptions, Where
from rayrl.experience.replay.adding import Added
from rayrl.experience.replay.store import HeapStore, Marks
from tests.experience.replay.building import (
    ENV,
    OPEN,
    SPACES,
    TERMINATED,
    batch,
    buffer,
    came_from,
    check_index,
    held,
)


def test_a_batch_added_twice_is_passed_over() -> None:
    of = buffer()
    first, second = came_from([(0, 0, 3, OPEN)], 1, 5), came_from([(0, 3, 3, TERMINATED)], 1, 6)
    assert of.add(first) == Added(steps=3, refused=0, duplicates=0)
    assert of.add(second).steps == 3
    for again in (first, second, second):
        assert of.add(again) == Added(steps=0, refused=0, duplicates=1)
    assert held(of) == [[0, 1, 2, 3, 4, 5]]
    assert of.get_partition_statistics()["online"]["duplicates"] == 3


def test_a_batch_is_passed_over_also_when_it_is_evicted() -> None:
    of = buffer(4)
    old = came_from([(0, 0, 3, TERMINATED)], 1, 1)
    of.add(old)
    of.add(came_from([(1, 0, 4, TERMINATED)], 1, 2))
    assert of.add(old).duplicates == 1
    assert held(of) == [[1000, 1001, 1002, 1003]]


def test_producers_and_epochs_count_apart() -> None:
    of = buffer()
    assert of.add(came_from([(0, 0, 1, OPEN)], 1, 7)).steps == 1
    assert of.add(came_from([(1, 0, 1, OPEN)], 2, 3)).steps == 1
    assert of.add(came_from([(2, 0, 1, OPEN)], 1, 0, epoch=1)).steps == 1
    assert of.add(came_from([(0, 1, 1, OPEN)], 1, 8)).duplicates == 1  # of the worker before its restart


def test_of_a_joined_batch_only_what_is_new_is_added() -> None:
    of = buffer()
    old, new = came_from([(0, 0, 2, OPEN)], 1, 1), came_from([(0, 2, 2, OPEN)], 1, 2)
    of.add(old)
    other = came_from([(5, 0, 1, TERMINATED)], 2, 1)
    assert of.add(TrajectoryBatch.concat([old, other, new])) == Added(steps=3, refused=0, duplicates=1)
    assert held(of) == [[0, 1, 2, 3], [5000]]


def test_two_partitions_count_apart() -> None:
    of = ReplayBuffer(
        SPACES, ENV, ReplayOptions(partitions={"a": PartitionOptions(), "b": PartitionOptions()})
    )
    one = came_from([(0, 0, 2, OPEN)], 1, 1)
    assert of.add(one).steps == of.add(one, partition="b").steps == 2
    assert of.add(one, partition="b").duplicates == 1


def test_without_idempotence_all_is_added() -> None:
    of = buffer()
    one = came_from([(0, 0, 2, TERMINATED)], 1, 1)
    of.add(one, idempotent=False)
    assert of.add(one, idempotent=False).steps == 2
    assert held(of) == [[0, 1], [0, 1]]


def with_obs(shape: tuple[int, ...], dtype: Any = np.float32) -> TrajectoryBatch:
    one = batch([(0, 0, 2, OPEN)])
    return one.with_columns(obs=np.zeros((2, *shape), dtype))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: with_obs((3,)), r"obs: is array float32 \(3,\), .* ask for array float32 \(2,\)"),
        (lambda b: with_obs((2,), np.float64), r"obs: is array float64 \(2,\), .* float32 \(2,\)"),
        (
            lambda b: b.with_columns(note=np.zeros((2, 4))),
            r"note: is array float64 \(4,\) in the batch and array int64 \(\) in partition 'online'",
        ),
        (lambda b: b.drop(["note"]), r"note: is missing from the batch, and array int64 \(\) in part"),
        (lambda b: b.with_columns(more=np.zeros(2)), r"more: is array float64 \(\) in the batch, and part"),
        (
            lambda b: b.with_trajectory_columns(task=Ragged.from_text(["x"])),
            "task: is text in the batch, and partition 'online' has no such column",
        ),
    ],
)
def test_a_batch_that_differs_changes_nothing(change: Any, message: str) -> None:
    of = buffer()
    one = batch([(0, 0, 2, OPEN)])
    of.add(one)
    with pytest.raises(DataError, match=message):
        of.add(change(one))
    assert len(of) == 2
    check_index(of)


def test_a_damaged_batch_is_refused() -> None:
    one = batch([(0, 0, 2, OPEN)])
    with pytest.raises(DataError, match="rewards: has 1 rows"):
        buffer().add(dataclasses.replace(one, columns=one.columns | {"rewards": np.zeros(1, np.float32)}))


def test_a_fixed_partition_refuses_what_does_not_fit() -> None:
    of = buffer(5, eviction="fixed")
    of.add(came_from([(0, 0, 3, TERMINATED)], 1, 1))
    too_much = came_from([(1, 0, 3, TERMINATED)], 1, 2)
    with pytest.raises(
        DataError, match="partition 'online': is fixed and holds 3 of 5 steps; 3 more do not fit"
    ):
        of.add(too_much)
    assert held(of) == [[0, 1, 2]]
    assert (
        of.add(came_from([(1, 0, 2, TERMINATED)], 1, 2)).steps == 2
    )  # the refused one does not count as added


def test_partitions_with_columns_of_their_own_give_those_they_share() -> None:
    options = ReplayOptions(
        partitions={"online": PartitionOptions(), "demos": PartitionOptions(capacity=None, eviction="fixed")}
    )
    of = ReplayBuffer(SPACES, ENV, options)
    of.add(batch([(0, 0, 4, TERMINATED)]))
    of.add(batch([(7, 0, 4, TERMINATED)]).drop(["note"]), partition="demos")
    assert "note" not in of.sample_transitions(10).columns
    assert "note" in of.sample_transitions(10, where=Where(partition="online")).columns
    drawn = of.sample_transitions(50, where=Where(partition="demos"))
    assert set(drawn.actions.tolist()) == {7000, 7001, 7002, 7003}
    with pytest.raises(DataError, match="no partition is named 'demo'; did you mean 'demos'"):
        of.add(batch([(0, 0, 4, TERMINATED)]), partition="demo")


def test_a_validation_split_by_episode() -> None:
    of = buffer(None, val_fraction=0.2, block_rows=256)
    for first in range(0, 20, 5):
        of.add(batch([(e, first, 5, OPEN) for e in range(500)]))
    stats = of.get_trajectory_statistics()
    assert stats["num_train_trajectories"] + stats["num_val_trajectories"] == 500
    assert 70 < stats["num_val_trajectories"] < 130
    val, train = (set((of.get_all_trajectories(side).actions // 1000).tolist()) for side in ("val", "train"))
    assert not val & train
    assert set((of.sample_fragments(3000, split="val").actions // 1000).reshape(-1).tolist()) <= val


def test_splits_that_are_given_stay() -> None:
    of = buffer()
    of.add(batch([(0, 0, 4, OPEN), (1, 0, 4, OPEN)], split=np.array([Split.val, Split.train], np.uint8)))
    assert of.get_all_trajectories("val").actions.tolist() == [0, 1, 2, 3]


def test_an_empty_batch_adds_nothing_and_settles_nothing() -> None:
    of, one = buffer(), came_from([(0, 0, 2, TERMINATED)], 1, 1)
    assert of.add(one.slice(0, 0)) == Added(steps=0, refused=0, duplicates=0)
    assert of.add(one).steps == 2


def test_a_batch_larger_than_all_that_is_held() -> None:
    of = buffer(50)
    of.add(batch([(e, 0, 70, TERMINATED) for e in range(4)]))
    assert held(of) == [list(range(3020, 3070))]
    check_index(of)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partitions": {"a/b": {}}}, "'a/b' is no partition's name"),
        ({"partitions": {}}, "at least 1 item"),
        ({"block_rows": 100}, "a power of two of rows"),
        ({"partitions": {"a": {"capacity": 0}}}, "greater than 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReplayOptions.parse(options, where="replay")


class FailingStore(HeapStore):
    """Takes no block while it is full."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True

    def put(self, number: int, block: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
        if self.full:
            raise StorageError("the store is full")
        return super().put(number, block, marks)


def test_a_store_that_is_full_loses_nothing_and_doubles_nothing() -> None:
    store = FailingStore()
    options = ReplayOptions(partitions={"online": PartitionOptions()}, block_rows=16)
    of = ReplayBuffer(SPACES, ENV, options, store=store)
    of.add(came_from([(0, 0, 10, TERMINATED)], 1, 1))
    again = came_from([(1, 0, 6, TERMINATED)], 1, 2)
    for _ in range(2):
        with pytest.raises(StorageError, match="the store is full"):
            of.add(again)
        check_index(of)
    store.full = False
    assert of.add(again) == Added(steps=0, refused=0, duplicates=1)  # it came in with the first call
    check_index(of)
    assert held(of) == [list(range(10)), list(range(1000, 1006))]


def test_a_batch_that_differs_is_refused_however_many_have_fitted() -> None:
    of = buffer()
    for number in range(3):
        of.add(came_from([(number, 0, 2, TERMINATED)], 1, number))
    other = came_from([(9, 0, 2, TERMINATED)], 1, 9)
    notes: Any = other.columns["note"]
    with pytest.raises(DataError, match="note: is array float64"):
        of.add(other.with_columns(note=notes.astype(np.float64)))
    with pytest.raises(DataError, match="note: is missing from the batch"):
        of.add(other.drop(["note"]))
    assert of.add(other).steps == 2
    check_index(of)
