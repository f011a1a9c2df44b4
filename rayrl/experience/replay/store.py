"""Where sealed blocks live."""

from __future__ import annotations

from typing import Protocol

from rayrl.experience.batch import TrajectoryBatch


class BlockStore(Protocol):
    """Keeps sealed blocks.

    The buffer reads a block from the arrays that ``put`` gives back, wherever they are: the heap, the object
    store, a mapped file. They have to stay as they are until the block is dropped or put again.
    """

    def put(self, number: int, block: TrajectoryBatch) -> TrajectoryBatch:
        """Takes a sealed block over, and gives back the arrays to read it from.

        Args:
            number: the block's number; a block that is put again, since rows of it are gone, keeps its
                number.
            block: its pieces as trajectories, whole in itself; its arrays are not changed any more.
        """
        ...

    def drop(self, number: int) -> None:
        """Forgets a block that was put, and of which no row is left."""
        ...


class HeapStore:
    """Keeps sealed blocks in the memory of this process, as they are."""

    def put(self, number: int, block: TrajectoryBatch) -> TrajectoryBatch:
        """Gives the block back; whoever reads it keeps it alive."""
        return block

    def drop(self, number: int) -> None:
        """Nothing is kept here."""
