"""Where sealed blocks live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rayrl.config.base import Config
from rayrl.experience.batch import TrajectoryBatch


class Segment(Config):
    """A file that holds what one block holds; it is named by its bytes, and never changed."""

    sha256: str
    bytes: int

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.sha256}.arrow"


@dataclass(frozen=True, slots=True)
class Marks:
    """What the index knows of the rows of a block, for stores that outlive it.

    Args:
        row_ids: int64 ``(rows,)``.
        trajectory_ids: int64 ``(trajectories,)``.
        returned: float64 ``(trajectories,)`` return of each episode, as far as the block knows it.
    """

    row_ids: NDArray[np.int64]
    trajectory_ids: NDArray[np.int64]
    returned: NDArray[np.float64]


class BlockStore(Protocol):
    """Keeps sealed blocks.

    The buffer reads a hot block from the arrays that ``put`` gives back, wherever they are: the heap, the
    object store, a mapped file. They have to stay as they are as long as someone refers to them. A cold block
    is asked for with ``get`` each time that it is read.

    Attributes:
        name: what to call it in statistics.
        hot_bytes: how much to keep hot; None: all of it.
    """

    name: str
    hot_bytes: int | None

    def put(self, number: int, block: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
        """Takes a sealed block over, and gives back the arrays to read it from.

        Args:
            number: the block's number; a block that is put again, since rows of it are gone, keeps its
                number.
            block: its pieces as trajectories, whole in itself; its arrays are not changed any more.
            marks: what the index knows of its rows.

        Raises:
            StorageError: there is no room; the block is not taken, and one of its number that was put before
                stays.
        """
        ...

    def get(self, number: int) -> TrajectoryBatch:
        """The arrays of a block that was put; to be let go of soon."""
        ...

    def drop(self, number: int) -> None:
        """Forgets a block that was put, and of which no row is left."""
        ...

    def segment_of(self, number: int) -> Segment | None:
        """The file that a block is in; None where it is in none."""
        ...


class HeapStore:
    """Keeps sealed blocks in the memory of this process, as they are."""

    name: str = "heap"
    hot_bytes: int | None = None

    def put(self, number: int, block: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
        """Gives the block back; whoever reads it keeps it alive."""
        return block

    def get(self, number: int) -> TrajectoryBatch:
        """Never asked: every block is hot."""
        raise KeyError(number)

    def drop(self, number: int) -> None:
        """Nothing is kept here."""

    def segment_of(self, number: int) -> Segment | None:
        """None: blocks are in no file."""
        return None
