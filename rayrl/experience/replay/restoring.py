"""Putting blocks back as they were: those of a saved buffer, of a spool, of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rayrl.errors import DataError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged
from rayrl.experience.replay import saved
from rayrl.experience.replay.open_block import OpenBlock
from rayrl.experience.replay.partition import Counters, Partition
from rayrl.experience.replay.parts import groups_of, index_parts
from rayrl.experience.replay.state import BufferState
from rayrl.experience.replay.storage import ReplayStorage, reservoir_keys
from rayrl.experience.replay.store import BlockStore, Marks, Segment

Keep = Callable[[int, TrajectoryBatch, Marks], TrajectoryBatch]
"""Takes a sealed block over by its number, and gives the arrays to read it from."""


class PartitionRestorer:
    """Puts the blocks of one partition back, oldest first.

    Args:
        storage: what the buffer holds.
        partition: the partition, empty yet.
        keep: takes sealed blocks over.

    Attributes:
        gone: trajectories of which a part in the middle is missing. That happens where all of one was
            evicted, and one of its blocks was written anew since.
    """

    def __init__(self, storage: ReplayStorage, partition: Partition, keep: Keep) -> None:
        self.gone: list[int] = []
        self._storage = storage
        self._partition = partition
        self._keep = keep
        self._entry_of: dict[int, int] = {}

    def block(self, number: int, used: int, batch: TrajectoryBatch, *, is_open: bool = False) -> None:
        """Puts a block back.

        Args:
            number: its number.
            used: row ids that it has given out.
            batch: its rows, with what the index knew of them.
            is_open: whether it was being filled.

        Raises:
            DataError: the rows do not fit.
        """
        storage, partition = self._storage, self._partition
        index = storage.index
        steps: Any = batch.columns
        trajectories: Any = batch.trajectory_columns
        row_ids = steps[saved.ROW_ID]
        offsets = row_ids - number * index.block_rows
        in_range = offsets.min() >= 0 and offsets.max() < used <= index.block_rows
        if not in_range or np.bincount(offsets).max() > 1:
            raise DataError("row ids are given twice or out of their block's range", where=saved.ROW_ID)
        own = [
            name
            for name in (*saved.STEP_COLUMNS, *saved.TRAJECTORY_COLUMNS)
            if name in steps or name in trajectories
        ]
        data = batch.drop(own)
        storage.check(data, partition)
        partition.specs = partition.specs or data.specs
        block = index.begin_block(partition.code, number)
        partition.blocks.append(block)
        owners = self._owners(data, trajectories[saved.TRAJECTORY_ID])
        if is_open:
            opened = OpenBlock(data.specs, index.block_rows - (used - data.num_steps))
            opened.append(data)
            partition.open_block = opened
            storage.columns.set(block, opened.columns)
        else:
            marks = Marks(row_ids, trajectories[saved.TRAJECTORY_ID], trajectories[saved.TRAJECTORY_RETURN])
            storage.columns.seal(block, self._keep(number, data, marks))
        groups = groups_of(data, storage.groups, partition.name)
        index.append(block, owners, index_parts(data, groups), 0, offsets)
        index.blocks.rows["used"][block] = used
        records = index.trajectories.rows
        records["returned"][owners] = trajectories[saved.TRAJECTORY_RETURN]
        if saved.SCORE in trajectories:
            records["score"][owners] = trajectories[saved.SCORE]
            records["score_version"][owners] = trajectories[saved.SCORE_VERSION]
        if storage.priorities is not None:
            groups = np.repeat(records["group"][owners], data.lengths)
            highest = storage.priorities.weights(np.array([storage.priorities.highest]))
            weights = steps.get(saved.PRIORITY_WEIGHT, np.repeat(highest, len(offsets)))
            storage.priorities.restore(block, offsets, weights, groups)

    def order(self) -> None:
        """Notes the trajectories in the order in which they began, and those that may go on."""
        storage, partition = self._storage, self._partition
        gone = set(self.gone)
        entries = np.array(
            [entry for _, entry in sorted(self._entry_of.items()) if entry not in gone], np.int32
        )
        if not len(entries):
            return
        records, pieces = storage.index.trajectories.rows[entries], storage.index.pieces.rows
        last = pieces[records["last_piece"]]
        spec = c.TRAJECTORY_COLUMNS[c.EPISODE_ID]
        where = (last[name].astype(np.int64) for name in ("block", "row"))
        episodes: Any = storage.columns.read(c.EPISODE_ID, spec, *where)
        partition.begun(entries, reservoir_keys(episodes, storage.options))
        # Of an episode with a gap, only the part after it can go on.
        newest = len(entries) - 1 - np.unique(episodes[::-1], axis=0, return_index=True)[1]
        over = records["terminated"] | records["truncated"]
        for i in np.sort(newest[~over[newest]]):
            due = int(records["first_step"][i] + records["length"][i])
            partition.open_episodes.open(episodes[i], int(entries[i]), due)
        if partition.by_steps:
            partition.tail = int(storage.index.live_rows(partition.blocks[0]).offset[0])

    def _owners(self, data: TrajectoryBatch, ids: Any) -> Any:
        """Entries of the trajectories with these ids; those not met before begin here."""
        index = self._storage.index
        first: Any = data.trajectory_columns[c.FIRST_STEP]
        if len(np.unique(ids)) < len(ids):
            raise DataError("a trajectory stands twice in one block", where=saved.TRAJECTORY_ID)
        owners = np.array([self._entry_of.get(int(one), -1) for one in ids], np.int32)
        records = index.trajectories.rows[owners]
        gap = (owners >= 0) & (records["first_step"] + records["length"] != first)
        new = np.flatnonzero((owners < 0) | gap)
        groups = groups_of(data, self._storage.groups, self._partition.name)[new]
        entries = index.begin_trajectories(first[new], groups, ids[new])
        self.gone += owners[gap].tolist()
        owners[new] = entries
        self.gone += owners[gap].tolist()
        self._entry_of.update(zip(ids[new].tolist(), entries.tolist(), strict=True))
        return owners


def restore_state(
    storage: ReplayStorage,
    state: BufferState,
    read: Callable[[Segment], TrajectoryBatch],
    keep: Keep,
) -> None:
    """Puts a buffer back that is in segments, and evicts what had been evicted since they were written.

    Args:
        storage: empty yet.
        state: of the buffer.
        read: gives the rows of a segment, with what the index knew of them.
        keep: takes sealed blocks over.

    Raises:
        DataError: the segments do not fit the state, or each other.
    """
    if storage.priorities is not None:
        storage.priorities.highest = state.highest_priority
    for of, partition in zip(state.partitions, storage.partitions, strict=True):
        restorer = PartitionRestorer(storage, partition, keep)
        for block in of.blocks:
            restorer.block(block.number, block.used, read(block.segment))
        if of.open is not None:
            restorer.block(of.open.number, of.open.used, read(of.open.segment), is_open=True)
        restorer.order()
        partition.counters = Counters(**of.counters)
        partition.threshold = of.threshold
        partition.producers.watermarks = {name: (epoch, seq) for name, epoch, seq in of.watermarks}
        storage.evict_again(partition, restorer.gone)
    storage.index.next_number = max(storage.index.next_number, state.next_block)
    storage.index.next_trajectory = max(storage.index.next_trajectory, state.next_trajectory)


def copy_into(store: BlockStore) -> Keep:
    """Takes blocks over into a store, in memory of their own, apart from the file that they were in."""
    return lambda number, data, marks: store.put(number, copied(data), marks)


def copied(batch: TrajectoryBatch) -> TrajectoryBatch:
    """The batch in memory of its own, apart from the file that it was read from."""

    def own(column: Column) -> Column:
        if isinstance(column, Ragged):
            return Ragged(column.values.copy(), column.offsets.copy(), column.is_text)
        return column.copy()

    return TrajectoryBatch(
        {name: own(column) for name, column in batch.columns.items()},
        batch.offsets.copy(),
        {name: own(column) for name, column in batch.trajectory_columns.items()},
    )
