"""The tables that say where every step is: blocks, pieces and trajectories, each of them a growing array.

A *piece* is a run of neighbouring rows of one block that are consecutive steps of one trajectory. A
trajectory is a chain of pieces, of one block or of several.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NONE: Final = -1
"""In place of a number where there is none."""

BLOCK: Final = np.dtype(
    [
        ("number", np.int64),  # its place in the order of all blocks ever begun; NONE: the entry is free
        ("partition", np.int32),
        ("used", np.int32),  # row ids given out
        ("stored", np.int32),  # rows in memory
        ("live", np.int32),  # rows not evicted
    ],
    align=True,
)
PIECE: Final = np.dtype(
    [
        ("block", np.int32),  # entry of its block
        ("start", np.int32),  # its first live row
        ("stop", np.int32),  # after its last row
        ("next", np.int32),  # the piece that goes on after it, or NONE
        ("trajectory", np.int32),  # entry of its trajectory
        ("row", np.int32),  # its row in the block's trajectory columns
        ("evicted", np.int32),  # rows evicted before `start`
    ],
    align=True,
)
PART: Final = np.dtype(
    [
        ("high", np.uint64),  # the id of its episode
        ("low", np.uint64),
        ("length", np.int64),
        ("first_step", np.int64),  # within the episode
        ("version", np.int64),  # newest policy version that acted, or NONE
        ("returned", np.float64),  # the episode's return up to its end, or that of the part alone
        ("group", np.int32),
        ("terminated", np.bool_),
        ("truncated", np.bool_),
    ],
    align=True,
)
"""A trajectory of a batch that is added; it may go on with one that is here."""
TRAJECTORY: Final = np.dtype(
    [
        ("id", np.int64),  # trajectories ever begun before it; NONE: the entry is free
        ("length", np.int64),  # live steps
        ("first_step", np.int64),  # of the first live step, within the episode
        ("returned", np.float64),  # the episode's return, so far or final
        ("version", np.int64),  # newest policy version that acted, or NONE
        ("score", np.float64),  # mean log-likelihood of its actions, NaN where not known
        ("score_version", np.int64),  # policy version that the score is of
        ("group", np.int32),
        ("first_piece", np.int32),
        ("last_piece", np.int32),
        ("terminated", np.bool_),
        ("truncated", np.bool_),
    ],
    align=True,
)


class Table:
    """A growing array of records whose entries are taken and given back.

    Args:
        dtype: of a record.
        key: the field that is NONE in entries that are free.

    Attributes:
        rows: the records, by entry.
        free: int32, of which the first ``num_free`` are entries that are free; the last is taken next.
        num_free: how many entries are free.
    """

    def __init__(self, dtype: np.dtype[Any], key: str) -> None:
        self.rows: NDArray[Any] = np.zeros(64, dtype)
        self.rows[key] = NONE
        self._key = key
        self.free = np.arange(63, -1, -1, dtype=np.int32)
        self.num_free = 64

    def take(self, count: int) -> NDArray[np.int32]:
        """Entries for new records, ``(count,)``; those given back last are taken first."""
        self.make_room(count)
        self.num_free -= count
        return self.free[self.num_free : self.num_free + count][::-1].copy()

    def make_room(self, count: int) -> None:
        """Makes sure that ``count`` entries are free."""
        while self.num_free < count:
            self._grow()

    def give_back(self, entries: NDArray[np.int32]) -> None:
        """Frees entries, each of them taken before."""
        if not len(entries):
            return
        self.rows[self._key][entries] = NONE
        self.free[self.num_free : self.num_free + len(entries)] = entries
        self.num_free += len(entries)

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.rows.nbytes + self.free.nbytes

    def _grow(self) -> None:
        size = len(self.rows)
        more = np.zeros(size, self.rows.dtype)
        more[self._key] = NONE
        self.rows = np.concatenate([self.rows, more])
        free = np.empty(2 * size, np.int32)
        free[:size] = np.arange(2 * size - 1, size - 1, -1)
        free[size : size + self.num_free] = self.free[: self.num_free]
        self.free = free
        self.num_free += size
