"""Memory for the columns of blocks in large pages, where the system has such.

A draw from many blocks looks at rows that lie anywhere in memory. With pages of 4 kB nearly each look also
has to find out where its page is; with pages of 2 MB few have to. A column of a block is smaller than a large
page, so the columns of neighbouring blocks share an area. It takes as much memory as before as long as blocks
go as they came: an area stays until the last of its blocks is gone.
"""

from __future__ import annotations

import math
import mmap
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Empty = Callable[[tuple[int, ...], Any], NDArray[Any]]
"""Makes an array of a shape and a type, of any contents."""

_SLAB_BYTES: Final = 32 << 20
_LEAST_BYTES: Final = 1 << 16
_MOST_BYTES: Final = 4 << 20
"""Of larger arrays numpy itself asks for large pages."""
_LINE: Final = 64
_SPARE: Final = 1
"""Areas without an array in use that are kept: to ask the system for a new one takes a while."""


class _Slabs:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._spare: list[mmap.mmap] = []
        self._slab = np.empty(0, np.uint8)
        self._used = 0

    def take(self, nbytes: int) -> NDArray[np.uint8]:
        with self._lock:
            start = -(-self._used // _LINE) * _LINE
            if start + nbytes > len(self._slab):
                self._slab, start = self._new(), 0
            self._used = start + nbytes
            return self._slab[start : self._used]

    def _new(self) -> NDArray[np.uint8]:
        area = self._spare.pop() if self._spare else _area()
        slab = np.frombuffer(area, np.uint8)
        # All arrays in the area refer to this one, so that it goes when the last of them does.
        weakref.finalize(slab, self._freed, area).atexit = False
        return slab

    def _freed(self, area: mmap.mmap) -> None:
        if len(self._spare) < _SPARE:
            self._spare.append(area)


def _area() -> mmap.mmap:
    # Memory that processes share, which is the default, has no large pages.
    area = mmap.mmap(-1, _SLAB_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        area.madvise(mmap.MADV_HUGEPAGE)
    return area


_slabs = _Slabs()


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array for a column of a block, of any contents; it takes its area along as long as it lives."""
    nbytes = math.prod(shape) * dtype.itemsize
    if not _LEAST_BYTES <= nbytes < _MOST_BYTES:
        return np.empty(shape, dtype)
    return _slabs.take(nbytes).view(dtype).reshape(shape)
