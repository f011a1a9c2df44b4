"""Spool: keeps sealed blocks as segments, and writes down what is added before it is."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from rayrl.errors import StorageError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.replay.partition import Partition
from rayrl.experience.replay.segments import marked, read_segment, unmarked, write_segment
from rayrl.experience.replay.spool.journal import (
    Journal,
    Recovered,
    Sealed,
    Snapshot,
    newest_life,
    read_journal,
    remove_journals,
)
from rayrl.experience.replay.spool.write_ahead import Record, WriteAhead, read_ahead
from rayrl.experience.replay.state import (
    BlockState,
    BufferState,
    PartitionState,
    buffer_state,
    partition_state,
    watermarks,
)
from rayrl.experience.replay.storage import ReplayStorage
from rayrl.experience.replay.store import Marks, Segment
from rayrl.storage.atomic import remove_leftovers, storage_errors

SEGMENTS = "segments"


class _Journaled(NamedTuple):
    """A sealed block as the journal knows it."""

    partition: str
    segment: Segment


class Spool:
    """The folder in which a buffer is on disk, as a store of its blocks and a log of its adds.

    ::

        journal-000002.jsonl         what this life of the shard began with, and each block since
        wal-000002-0-000005.arrows   adds to partition 0 that are not in sealed blocks yet
        segments/<sha256>.arrow      sealed blocks

    Adds and lines of the journal are with the operating system before they are acknowledged, and survive the
    process; segments are on the disk, and survive the machine. One process writes to a spool at a time: one
    that takes it over begins a new life, and its predecessor, should it be alive, is refused.

    Args:
        path: the folder.
        hot_bytes: how much of the segments to keep mapped; None: all.

    Attributes:
        ticket: number of the newest add, by which one that comes twice is known.
        life: how often a process has begun to write here.
        identity: names the spool, as long as it goes on.
        segments: of each sealed block, by its number.
        retained: hashes of segments that checkpoints name.
    """

    name: str = "spool"

    def __init__(self, path: Path, hot_bytes: int | None = None) -> None:
        self.path = path
        self.hot_bytes = hot_bytes
        self.ticket = 0
        self.life = newest_life(path) if path.is_dir() else 0
        self.identity = secrets.token_hex(8)
        self.segments: dict[int, Segment] = {}
        self.retained: set[str] = set()
        self._journaled: dict[int, _Journaled] = {}
        self._changed: set[int] = set()
        self._ahead: dict[str, WriteAhead] = {}
        self._journal: Journal | None = None
        self._storage: ReplayStorage | None = None
        self._opening: set[str] = set()

    @property
    def folder(self) -> Path:
        """Where the segments are."""
        return self.path / SEGMENTS

    def recovered(self) -> Recovered | None:
        """What the life before this one has left, if there was one.

        Raises:
            IntegrityError: its journal is damaged.
        """
        if not self.life:
            return None
        found = read_journal(self.path, self.life)
        self.identity = found.snapshot.spool
        self.retained = set(found.snapshot.retained)
        self.ticket = found.snapshot.ticket
        return found

    def records(self, found: Recovered, code: int, name: str) -> Iterator[Record]:
        """The adds to a partition that are in no sealed block."""
        return read_ahead(self.path, _ahead_prefix(self.life, code), found.positions[name])

    def begin(self, storage: ReplayStorage) -> None:
        """Begins a new life with what a buffer holds now; what only the life before needed is deleted.

        Args:
            storage: what the buffer holds; from now on each change is written down.

        Raises:
            StorageError: the disk is full or not writable.
        """
        with storage_errors(self.path, "the replay buffer's spool"):
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.path)
            remove_leftovers(self.folder)
        storage.drop_empty()
        now = self.state(storage, self.folder)
        snapshot = Snapshot(
            spool=self.identity,
            spaces=storage.spaces.to_json(),
            block_rows=storage.index.block_rows,
            ticket=self.ticket,
            retained=sorted(self.retained),
            state=now,
        )
        self._journal = Journal(self.path, self.life + 1, snapshot)
        self.life += 1
        self._journaled = {
            block.number: _Journaled(partition.name, block.segment)
            for partition in now.partitions
            for block in partition.blocks
        }
        self._changed = set()
        self._ahead = {
            partition.name: WriteAhead(self.path, _ahead_prefix(self.life, partition.code))
            for partition in storage.partitions
        }
        self._storage = storage
        self._opening = {of.open.segment.sha256 for of in now.partitions if of.open is not None}
        storage.log = self
        self._clean(now)

    def close(self) -> None:
        """Closes the files of this life; nothing is written after it."""
        if self._journal is not None:
            self._journal.close()
        for ahead in self._ahead.values():
            ahead.close()

    def state(self, storage: ReplayStorage, opened: Path) -> BufferState:
        """The state of the buffer; what its open blocks hold is written to segments in a folder."""

        def write_open(block: int) -> Segment:
            partition = storage.partitions[int(storage.index.blocks.rows["partition"][block])]
            found = storage.contents(block, partition)
            return write_segment(opened, marked(found.batch, storage.marks(block, found)))

        def segment_of(block: int) -> Segment:
            return self.segments[int(storage.index.blocks.rows["number"][block])]

        return buffer_state(
            storage, [partition_state(storage, one, segment_of, write_open) for one in storage.partitions]
        )

    def adopt(self, number: int, segment: Segment) -> None:
        """Takes a segment that is in the folder for that of a block."""
        self.segments[number] = segment

    def put(self, number: int, block: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
        """Writes a block to a segment, and maps it."""
        self._check_life()
        segment = write_segment(self.folder, marked(block, marks))
        before = self.segments.get(number)
        self.segments[number] = segment
        if before is not None and before != segment:
            self._replaced(number, before)
        return self.get(number)

    def get(self, number: int) -> TrajectoryBatch:
        """A block, mapped."""
        return unmarked(read_segment(self.folder, self.segments[number]))[0]

    def drop(self, number: int) -> None:
        """Lets go of a block's segment, which is deleted unless a checkpoint names it."""
        self._check_life()
        self._replaced(number, self.segments.pop(number))

    def segment_of(self, number: int) -> Segment | None:
        """The file that a block is in."""
        return self.segments.get(number)

    def adding(self, partition: Partition, batch: TrajectoryBatch, *, remembered: bool) -> None:
        """Writes an add down."""
        self._check_life()
        if self._storage is not None:
            following = self._storage.index.next_trajectory
            self._ahead[partition.name].append(Record(self.ticket + 1, batch, remembered, following, 0))
            self.ticket += 1

    def opened(self, partition: Partition, number: int) -> None:
        """Writes down which block a partition fills, so that row ids stay what they are."""
        if self._journal is not None:
            self._journal.write(opened=[partition.name, number])

    def sealed(self, partition: Partition, number: int, done: int) -> None:
        """Writes a sealed block down, and lets go of the adds that are in it."""
        if self._journal is None or self._storage is None:
            return
        index = self._storage.index
        position = self._ahead[partition.name].seal(done)
        used = int(index.blocks.rows["used"][partition.blocks[-1]])
        changed = {one: self.segments.get(one) for one in self._changed_of(partition.name)}
        line = Sealed(
            next_block=index.next_number,
            next_trajectory=index.next_trajectory,
            ticket=self.ticket,
            position=position,
            partition=PartitionState(
                name=partition.name,
                counters=asdict(partition.counters),
                watermarks=watermarks(partition),
                threshold=partition.threshold,
                blocks=[BlockState(number=number, used=used, segment=self.segments[number])]
                if number in self.segments
                else [],
                open=None,
            ),
            changed=list(changed.items()),
        )
        self._journal.write(sealed=line.model_dump(mode="json"))
        self._settle(partition.name)
        if number in self.segments:
            self._journaled[number] = _Journaled(partition.name, self.segments[number])
        self._ahead[partition.name].cut(position)

    def retain(self, hashes: set[str]) -> None:
        """Keeps segments, since a checkpoint is about to name them."""
        if self._journal is not None:
            self._journal.write(retained=sorted(hashes))
        self.retained |= hashes

    def release(self, retained: set[str]) -> None:
        """Notes which segments checkpoints still name."""
        if self._journal is not None:
            self._journal.write(released=sorted(retained))
        self.retained = set(retained)

    def sweep(self) -> list[str]:
        """Deletes segments that neither a checkpoint nor this buffer needs; gives their names."""
        if self._storage is None:
            return []
        journaled = {known.segment.sha256 for known in self._journaled.values()}
        held = {segment.sha256 for segment in self.segments.values()}
        needed = self.retained | held | journaled | self._opening
        swept = [path for path in sorted(self.folder.glob("*.arrow")) if path.stem not in needed]
        for path in swept:
            path.unlink()
        return [path.name for path in swept]

    def _replaced(self, number: int, before: Segment) -> None:
        """Deletes what a block was in, or notes that the journal is to be told.

        It is told when the partition seals its next block. Until then a process that takes over adds again
        what is not sealed, and then needs all that was held when the last block was.
        """
        known = self._journaled.get(number)
        if known is not None:
            self._changed.add(number)
        if known is None or known.segment != before:
            self._remove(before)

    def _settle(self, partition: str) -> None:
        """Takes it that the journal knows of all that became of a partition's blocks."""
        for number in self._changed_of(partition):
            before = self._journaled.pop(number).segment
            self._changed.remove(number)
            now = self.segments.get(number)
            if now is not None:
                self._journaled[number] = _Journaled(partition, now)
            if now != before:
                self._remove(before)

    def _changed_of(self, partition: str) -> list[int]:
        return sorted(number for number in self._changed if self._journaled[number].partition == partition)

    def _remove(self, segment: Segment) -> None:
        """Deletes a segment; while a life is being taken over it may still be needed, and is left."""
        if self._journal is not None and segment.sha256 not in self.retained:
            (self.folder / segment.name).unlink(missing_ok=True)

    def _check_life(self) -> None:
        if self._journal is not None and self._journal.is_superseded:
            raise StorageError(
                "another process has taken the spool over, and this one may not write to it any more",
                where=str(self.path),
                remedy="end this process",
            )

    def _clean(self, now: BufferState) -> None:
        """Deletes what only former lives needed."""
        remove_journals(self.path, self.life)
        current = _ahead_prefix(self.life, 0).rsplit("-", 2)[0]
        for path in self.path.glob("wal-*.arrows"):
            if not path.name.startswith(f"{current}-"):
                path.unlink()
        named = {segment.sha256 for segment in now.segments} | self.retained
        for path in self.folder.glob("*.arrow"):
            if path.stem not in named:
                path.unlink()


def _ahead_prefix(life: int, partition: int) -> str:
    return f"wal-{life:06d}-{partition}-"
