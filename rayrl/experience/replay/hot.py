"""Which sealed blocks stay in memory, where not all of them may."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT = 0.9
"""How much of a block's use still counts after each block that is sealed."""
_CLEARLY = 2.0
"""How many times as much a cold block must be used as a hot one to take its place."""


class HotBlocks:
    """Keeps the newest and the most used blocks hot, up to a number of bytes.

    A block's use is the number of its rows that were read, of late. A new block counts as used as much as the
    most used one, since new experience is drawn most by most samplers, and by the others as much as any.

    Args:
        limit: bytes that may be hot; None: no limit.

    Attributes:
        hot_bytes: bytes of the hot blocks.
        cold_bytes: bytes of the cold ones.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.hot_bytes = 0
        self.cold_bytes = 0
        self.is_cold = np.zeros(64, np.bool_)
        self._bytes = np.zeros(64, np.int64)
        self._use = np.zeros(64, np.float64)

    @property
    def any_cold(self) -> bool:
        """Whether some block is cold."""
        return self.cold_bytes > 0

    def nbytes(self, block: int) -> int:
        """Bytes of a block that was taken in."""
        return int(self._bytes[block])

    def make_room(self, block: int) -> None:
        """Lets ``is_cold`` know of an entry."""
        while block >= len(self._use):
            for name in ("is_cold", "_bytes", "_use"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))

    def add(self, block: int, nbytes: int) -> list[int]:
        """Takes a block in, hot; gives those that are to become cold, itself perhaps among them."""
        self.make_room(block)
        self.remove(block)
        self._use *= _KEPT
        self._bytes[block], self._use[block] = nbytes, self._use.max()
        self.hot_bytes += nbytes
        return self._too_much()

    def remove(self, block: int) -> None:
        """Forgets a block, if it is known."""
        if self.is_cold[block]:
            self.cold_bytes -= int(self._bytes[block])
        else:
            self.hot_bytes -= int(self._bytes[block])
        self._bytes[block], self._use[block], self.is_cold[block] = 0, 0, False

    def used(self, blocks: NDArray[np.int64]) -> None:
        """Notes that rows ``(n,)`` of blocks were read."""
        counts = np.bincount(blocks, minlength=len(self._use))
        self._use += np.where(self._bytes > 0, counts[: len(self._use)], 0)

    def may_warm(self, block: int) -> bool:
        """Whether a cold block that is at hand may stay: there is room, or it is used more than a hot one."""
        limit = self.limit or 0
        if self.hot_bytes + self._bytes[block] <= limit:
            return True
        hot = self._hot()
        least = self._use[hot].min(initial=np.inf)
        return bool(self._bytes[block] <= limit and self._use[block] > _CLEARLY * least)

    def warm(self, block: int) -> list[int]:
        """Makes a cold block hot; gives those that are to become cold for it."""
        self.is_cold[block] = False
        self.cold_bytes -= int(self._bytes[block])
        self.hot_bytes += int(self._bytes[block])
        return self._too_much()

    def _too_much(self) -> list[int]:
        cooled: list[int] = []
        if self.limit is None or self.hot_bytes <= self.limit:
            return cooled
        hot = self._hot()
        for block in hot[np.argsort(self._use[hot], kind="stable")].tolist():
            if self.hot_bytes <= self.limit:
                break
            self.is_cold[block] = True
            self.hot_bytes -= int(self._bytes[block])
            self.cold_bytes += int(self._bytes[block])
            cooled.append(block)
        return cooled

    def _hot(self) -> NDArray[Any]:
        return np.flatnonzero((self._bytes > 0) & ~self.is_cold)
