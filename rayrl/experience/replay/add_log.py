"""What a buffer tells of its changes to whoever keeps them beyond its process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rayrl.experience.batch import TrajectoryBatch

if TYPE_CHECKING:
    from rayrl.experience.replay.partition import Partition


class AddLog(Protocol):
    """Hears of adds before they happen, and of blocks as they are begun and sealed.

    Each raises StorageError where it cannot write; the buffer then goes on once it can.
    """

    def adding(self, partition: Partition, batch: TrajectoryBatch, *, remembered: bool) -> None:
        """A batch is about to be added to a partition, all of it; where this raises, it is not.

        Args:
            partition: where to.
            batch: what is new of it, prepared.
            remembered: whether it is to be remembered as added.
        """
        ...

    def opened(self, partition: Partition, number: int) -> None:
        """A partition begins to fill a block."""
        ...

    def sealed(self, partition: Partition, number: int, done: int) -> None:
        """The block that a partition was filling is in the store.

        Args:
            partition: whose.
            number: of the block.
            done: how many rows of the batch that was added last are in sealed blocks.
        """
        ...
