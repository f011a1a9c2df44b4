"""What there is to know of a buffer whose blocks are in segments: docs/format.md says it as a standard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rayrl.config.base import Config
from rayrl.experience.replay.partition import Partition
from rayrl.experience.replay.storage import ReplayStorage
from rayrl.experience.replay.store import Segment


class BlockState(Config):
    """One block."""

    number: int
    used: int
    """Row ids that it has given out."""
    segment: Segment


class PartitionState(Config):
    """One partition."""

    name: str
    counters: dict[str, int]
    watermarks: list[tuple[int, int, int]]
    """Producer, epoch and sequence of the newest batch of each."""
    threshold: float
    blocks: list[BlockState]
    """The sealed ones, oldest first."""
    open: BlockState | None
    """What the block that is being filled held, if there is one."""


class BufferState(Config):
    """A buffer."""

    next_block: int
    next_trajectory: int
    highest_priority: float
    draws: int = 0
    updates_dropped: int = 0
    partitions: list[PartitionState]

    @property
    def segments(self) -> list[Segment]:
        """All segments that it names."""
        blocks = [block for partition in self.partitions for block in partition.blocks]
        opened = [partition.open for partition in self.partitions if partition.open is not None]
        return [block.segment for block in [*blocks, *opened]]


def partition_state(
    storage: ReplayStorage,
    partition: Partition,
    sealed: Callable[[int], Segment],
    opened: Callable[[int], Segment] | None,
) -> PartitionState:
    """The state of a partition.

    Args:
        storage: whose.
        partition: which.
        sealed: gives the segment of a sealed block by its entry.
        opened: gives, or writes, that of the block that is being filled; None: it is passed over.
    """
    blocks = list(partition.blocks)
    opening = blocks.pop() if partition.open_block is not None else None

    def block_state(block: int, segment: Segment) -> BlockState:
        record = storage.index.blocks.rows[block]
        return BlockState(number=int(record["number"]), used=int(record["used"]), segment=segment)

    last = None
    if opening is not None and opened is not None:
        last = block_state(opening, opened(opening))
    return PartitionState(
        name=partition.name,
        counters=asdict(partition.counters),
        watermarks=watermarks(partition),
        threshold=partition.threshold,
        blocks=[block_state(block, sealed(block)) for block in blocks],
        open=last,
    )


def buffer_state(storage: ReplayStorage, partitions: list[PartitionState], **counts: Any) -> BufferState:
    """The state of a buffer, given that of its partitions."""
    return BufferState(
        next_block=storage.index.next_number,
        next_trajectory=storage.index.next_trajectory,
        highest_priority=storage.priorities.highest if storage.priorities else 1.0,
        partitions=partitions,
        **counts,
    )


def watermarks(partition: Partition) -> list[tuple[int, int, int]]:
    """Producer, epoch and sequence of the newest batch of each producer."""
    return [(name, *mark) for name, mark in sorted(partition.producers.watermarks.items())]
