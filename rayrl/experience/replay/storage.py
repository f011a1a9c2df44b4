"""What a replay buffer holds: adding, sealing, evicting."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.config.base import nearest
from rayrl.errors import DataError, StorageError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import required_specs
from rayrl.experience.cutting import cut
from rayrl.experience.replay.add_log import AddLog
from rayrl.experience.replay.adding import Added, Adding, check_against
from rayrl.experience.replay.blocks import Contents, contents, rearrange
from rayrl.experience.replay.columns import BlockColumns
from rayrl.experience.replay.groups import Groups
from rayrl.experience.replay.index import Index
from rayrl.experience.replay.open_block import OpenBlock
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.partition import Partition
from rayrl.experience.replay.parts import groups_of, index_parts, prepare
from rayrl.experience.replay.priorities import Priorities
from rayrl.experience.replay.sizes import block_rows
from rayrl.experience.replay.slabs import Empty, empty
from rayrl.experience.replay.store import BlockStore, Marks, Segment
from rayrl.experience.split import uniform_of
from rayrl.storage.spaces import Spaces

_RESERVOIR = 0x5265_7365_7276_6F69
"""Makes the keys of reservoirs other numbers than those that decide the split."""


_log = logging.getLogger(__name__)


class ReplayStorage:
    """Blocks, partitions and the index over them.

    Args:
        spaces: what the batches must fit.
        options: of the buffer.
        store: where sealed blocks live.
        log: hears of what is added, if anyone does.

    Attributes:
        segments: files that checkpoints have written of sealed blocks, by the blocks' numbers.
    """

    def __init__(
        self, spaces: Spaces, options: ReplayOptions, store: BlockStore, log: AddLog | None = None
    ) -> None:
        self.spaces = spaces
        self.options = options
        self.store = store
        self.log = log
        self.groups = Groups()
        self.columns = BlockColumns(store.hot_bytes, self._fetch)
        rows = options.block_rows or block_rows(spaces, options)
        self.priorities = Priorities(options.priorities, rows) if options.priorities else None
        self.index = Index(rows, self.groups, self.priorities)
        self.partitions = [
            Partition(name, code, one) for code, (name, one) in enumerate(options.partitions.items())
        ]
        self._required = required_specs(spaces)
        self.segments: dict[int, Segment] = {}
        self._unfinished: Adding | None = None

    def partition(self, name: str | None) -> Partition:
        """A partition by name, the first one when not given.

        Raises:
            DataError: there is none of this name.
        """
        for partition in self.partitions:
            if name in (None, partition.name):
                return partition
        known = [partition.name for partition in self.partitions]
        raise DataError(f"no partition is named {name!r}; {nearest(str(name), known)}", where="partition")

    def add(self, batch: TrajectoryBatch, partition: str | None, *, idempotent: bool) -> Added:
        """Copies a batch in, and evicts what is then too much.

        Where the store cannot take a block, its error passes. The batch is then taken over nevertheless, and
        what is left of it comes in with the next add.

        Raises:
            DataError: the batch is invalid or differs in a column from those before, there is no such
                partition, or it is a fixed one and has no room; nothing is changed then.
        """
        self.finish()
        to = self.partition(partition)
        batch = batch.with_static_parts_by_step()
        self.check(batch, to)
        fresh = batch
        if idempotent and not (new := to.producers.new(batch)).all():
            fresh = batch.select(np.flatnonzero(new))
        duplicates = batch.num_trajectories - fresh.num_trajectories
        self._check_room(fresh, to)
        if fresh.num_trajectories:
            fresh = prepare(fresh, self.options)
            if self.log is not None:
                self.log.adding(to, fresh, remembered=idempotent)
        to.counters.duplicates += duplicates
        return Added(*self.take_in(fresh, batch if idempotent else None, to), duplicates)

    def take_in(
        self, fresh: TrajectoryBatch, origin: TrajectoryBatch | None, partition: Partition, done: int = 0
    ) -> tuple[int, int]:
        """Copies a batch in that was checked and prepared; gives steps taken in, and turned away.

        Args:
            fresh: what is new of it.
            origin: the batch that is to be remembered as added, if it is.
            partition: where to.
            done: how many of its first rows are in already.
        """
        if fresh.num_trajectories:
            partition.specs = partition.specs or fresh.specs
        rest = cut(fresh, done)[1] if done else fresh
        self._unfinished = Adding(partition, rest if rest.num_steps else None, origin, done)
        return self.finish()

    def finish(self) -> tuple[int, int]:
        """Takes in what an add could not, since the store had no room for a block."""
        steps = refused = 0
        todo = self._unfinished
        if todo is None:
            return steps, refused
        to = todo.partition
        while True:
            if todo.rest is None and todo.origin is not None:
                # Before the block is sealed: who has that needs no more of the batch.
                to.producers.advance(todo.origin)
                todo.origin = None
            if to.open_block is not None and to.open_block.room == 0:
                self.seal(to, todo.done)
            if todo.rest is None:
                break
            head, todo.rest = todo.rest, None
            if head.num_steps > (room := self._open(to).room):
                head, todo.rest = cut(head, room)
            todo.done += head.num_steps
            added = self._append(head, to)
            steps += added
            refused += head.num_steps - added
            self._evict(to)
        self._unfinished = None
        return steps, refused

    def seal(self, partition: Partition, done: int = 0) -> None:
        """Hands the block that a partition is filling, if there is one, to the store.

        Args:
            partition: whose.
            done: rows of the batch that is being added which are in the block, or in one before.
        """
        if partition.open_block is None:
            return
        block = partition.blocks[-1]
        number = int(self.index.blocks.rows["number"][block])
        is_free = True
        if self.index.blocks.rows["live"][block]:
            is_free = not self._rewrite(block, partition, _maker(partition)).is_view
        if self.log is not None:
            self.log.sealed(partition, number, done)
        if not self.index.blocks.rows["live"][block]:
            self._forget(block, partition)
        if is_free and partition.open_block.rows == self.index.block_rows:
            partition.spare = partition.open_block
            partition.spare.empty()
        partition.open_block = None

    def drop_empty(self) -> None:
        """Gives up blocks that are being filled and of which no row is left."""
        for partition in self.partitions:
            if partition.open_block and not self.index.blocks.rows["live"][partition.blocks[-1]]:
                self.seal(partition)

    def segment_of(self, number: int) -> Segment | None:
        """The file that a sealed block is in, where it is in one."""
        return self.store.segment_of(number) or self.segments.get(number)

    def contents(self, block: int, partition: Partition, make: Empty = np.empty) -> Contents:
        """The live rows of a block of a partition; see there."""
        if partition.specs is None:
            raise DataError("the partition is empty", where=partition.name)
        return contents(block, self.index, self.columns, partition.specs, make)

    def _open(self, partition: Partition) -> OpenBlock:
        if partition.open_block is None:
            if partition.specs is None:
                raise DataError("nothing was added to the partition", where=partition.name)
            number = self.index.next_number if partition.reserved is None else partition.reserved
            if self.log is not None:
                self.log.opened(partition, number)
            block = self.index.begin_block(partition.code, number)
            partition.reserved = None
            partition.blocks.append(block)
            opened = partition.spare or OpenBlock(partition.specs, self.index.block_rows, _maker(partition))
            partition.open_block, partition.spare = opened, None
            self.columns.set(block, opened.columns)
        return partition.open_block

    def _append(self, batch: TrajectoryBatch, partition: Partition) -> int:
        """Adds a batch that fits into the open block; gives the steps that a reservoir let pass."""
        columns: Any = batch.trajectory_columns
        keys = np.zeros(batch.num_trajectories)
        if partition.options.eviction == "reservoir":
            keys = reservoir_keys(columns[c.EPISODE_ID], self.options)
            admitted = np.flatnonzero(keys < partition.threshold)
            if len(admitted) < len(keys):
                partition.counters.steps_refused += batch.num_steps - int(batch.lengths[admitted].sum())
                batch, keys = batch.select(admitted), keys[admitted]
                columns = batch.trajectory_columns
        if batch.num_trajectories == 0:
            return 0
        parts = index_parts(batch, groups_of(batch, self.groups, partition.name))
        owners, begun = self.index.own(parts, partition.open_episodes)
        partition.begun(owners[begun], keys[begun])
        opened, block = self._open(partition), partition.blocks[-1]
        first_piece = opened.num_pieces
        self.columns.set(block, opened.append(batch))
        self.index.append(block, owners, parts, first_piece)
        if self.priorities is not None:
            first = int(self.index.blocks.rows["used"][block]) - batch.num_steps
            self.priorities.begin(block, first, parts.rows)
        partition.counters.steps_added += batch.num_steps
        return batch.num_steps

    def _evict(self, partition: Partition) -> None:
        while partition.over_full:
            excess = partition.excess
            if partition.by_steps:
                self._evict_oldest(excess, partition)
                continue
            owner = partition.next_to_go()
            length = int(self.index.trajectories.rows["length"][owner])
            if excess > 0 and partition.options.unit == "steps" and length == partition.counters.steps:
                # The only trajectory left is longer than all that may be held.
                self._after(self.index.evict_trajectory(owner, excess), excess, [], partition)
                continue
            partition.remove_next()
            self._after(self.index.evict_trajectory(owner), length, [owner], partition)

    def evict_again(self, partition: Partition, gone: list[int]) -> None:
        """Evicts what was evicted before the buffer was restored: some trajectories, and what is too much."""
        for owner in gone:
            length = int(self.index.trajectories.rows["length"][owner])
            self._after(self.index.evict_trajectory(owner), length, [owner], partition)
        held = self.index.live_in(list(partition.blocks))
        counters = partition.counters
        counters.steps_evicted = counters.steps_added - held.steps
        counters.trajectories_evicted = counters.trajectories_added - held.trajectories
        self._evict(partition)

    def _evict_oldest(self, excess: int, partition: Partition) -> None:
        block = partition.blocks[0]
        partition.tail, evicted, gone = self.index.evict_oldest(block, partition.tail, excess)
        partition.counters.steps_evicted += evicted
        partition.gone(gone)
        is_open = partition.open_block is not None and len(partition.blocks) == 1
        if self.index.blocks.rows["live"][block] == 0 and not is_open:
            self._drop(block, partition)
            partition.tail = 0

    def _after(self, blocks: NDArray[np.int64], steps: int, gone: list[int], partition: Partition) -> None:
        """Counts what was evicted, and drops or shrinks the blocks that it was in."""
        partition.counters.steps_evicted += steps
        partition.gone(np.array(gone, np.int32))
        for block in blocks.tolist():
            if partition.open_block is not None and block == partition.blocks[-1]:
                continue
            live, stored = (int(self.index.blocks.rows[name][block]) for name in ("live", "stored"))
            if live == 0:
                self._drop(block, partition)
            elif 2 * live < stored:
                try:
                    self._rewrite(block, partition)
                except StorageError as error:
                    _log.warning(
                        "block %d is not shrunk, which wastes memory and nothing else: %s", block, error
                    )

    def _rewrite(self, block: int, partition: Partition, make: Empty = np.empty) -> Contents:
        """Puts the live rows of a block, trajectory after trajectory, into the store."""
        found = self.contents(block, partition, make)
        number = int(self.index.blocks.rows["number"][block])
        self.columns.seal(block, self.store.put(number, found.batch, self.marks(block, found)))
        self.segments.pop(number, None)
        rearrange(block, found, self.index)
        return found

    def marks(self, block: int, found: Contents) -> Marks:
        """What the index knows of the contents of a block."""
        records = self.index.trajectories.rows[found.owners]
        row_ids = self.index.row_ids(block, found.offsets)
        return Marks(row_ids, records["id"].copy(), records["returned"].copy())

    def _fetch(self, block: int) -> TrajectoryBatch:
        return self.store.get(int(self.index.blocks.rows["number"][block]))

    def _drop(self, block: int, partition: Partition) -> None:
        """Gives up a sealed block of which no row is left."""
        number = int(self.index.blocks.rows["number"][block])
        self.store.drop(number)
        self.segments.pop(number, None)
        self._forget(block, partition)

    def _forget(self, block: int, partition: Partition) -> None:
        partition.blocks.remove(block)
        self.columns.remove(block)
        self.index.end_block(block)

    def check(self, batch: TrajectoryBatch, partition: Partition) -> None:
        """Checks that a batch fits the spaces and what a partition holds.

        Raises:
            DataError: naming the column, and what it is here and there.
        """
        batch.validate()
        form = batch.form
        if form == partition.form:
            return
        specs = batch.specs
        specs.check_has(self._required)
        for other in self.partitions:
            if other.specs is not None:
                same = other is partition
                check_against(specs, other.specs, f"partition {other.name!r}", whole=same)
        if partition.specs is not None:
            partition.form = form

    def _check_room(self, batch: TrajectoryBatch, partition: Partition) -> None:
        options = partition.options
        if options.eviction != "fixed" or options.capacity is None:
            return
        held, more = partition.counters.steps, batch.num_steps
        if options.unit == "trajectories":
            held, more = partition.counters.trajectories, batch.num_trajectories
        if held + more > options.capacity:
            raise DataError(
                f"is fixed and holds {held} of {options.capacity} {options.unit}; {more} more do not fit",
                where=f"partition {partition.name!r}",
                remedy="raise its capacity, or let it evict: fifo or reservoir",
            )


def _maker(partition: Partition) -> Empty:
    """What makes the columns of a partition's blocks: in large pages where blocks go as they came."""
    return np.empty if partition.options.eviction == "reservoir" else empty


def reservoir_keys(episode_ids: NDArray[np.uint64], options: ReplayOptions) -> NDArray[np.float64]:
    """``(n,)`` what decides which episodes a reservoir keeps, for ids ``(n, 2)``; the lower, the longer."""
    return uniform_of(episode_ids, options.seed ^ _RESERVOIR)
