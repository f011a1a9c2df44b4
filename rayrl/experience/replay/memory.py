"""Reading rows from blocks that lie anywhere in memory: each row is found by its address.

A sample touches nearly every block, so one numpy call for each block and column would cost more than the
copying does. Here one compiled loop copies a whole column, whatever blocks its rows are in.

Nothing here checks bounds. Addresses come from ``BlockColumns``, which keeps the arrays alive and of the
shape that it says; rows come from the index.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

AHEAD: Final = 32
"""How many rows ahead memory is fetched: they lie too far apart for the processor to guess."""
LINE: Final = 64
"""Bytes of a cache line."""
_MOST_AHEAD = 512
_FOR_READING, _KEEP_LONG, _DATA = 0, 3, 1


def word(row_bytes: int) -> np.dtype[Any]:
    """The largest unsigned integer type, of 8 bytes at most, that divides a row."""
    return np.dtype(f"u{math.gcd(row_bytes, 8)}")


def read_rows(addresses: NDArray[np.int64], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Copies rows together.

    Args:
        addresses: ``(n,)`` where each row begins; C-contiguous, aligned to ``word`` of its bytes.
        dtype: element type.
        shape: of a row.

    Returns:
        ``(n, *shape)``.
    """
    out = np.empty((len(addresses), *shape), dtype)
    row_bytes = dtype.itemsize * math.prod(shape)
    if row_bytes and len(addresses):
        unit = word(row_bytes)
        _copy(addresses, out.view(np.uint8).reshape(-1).view(unit).reshape(len(addresses), -1))
    return out


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """An int64 address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@intrinsic
def prefetch(context: Any, address: Any) -> Any:
    """Starts to fetch the cache line at an int64 address, which need not be valid."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(call, [place, number(_FOR_READING), number(_KEEP_LONG), number(_DATA)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@njit(cache=True, nogil=True)
def _copy(addresses: Any, out: Any) -> None:
    n, words = out.shape
    fetched = min(words * out.itemsize, _MOST_AHEAD)
    for i in range(n):
        if i + AHEAD < n:
            for line in range(0, fetched, LINE):
                prefetch(addresses[i + AHEAD] + line)
            # Rows begin anywhere in a line, so that the last byte may be in one more.
            prefetch(addresses[i + AHEAD] + fetched - 1)
        row = carray(pointer(addresses[i]), words, out.dtype)
        for j in range(words):
            out[i, j] = row[j]


@njit(cache=True, nogil=True)
def float32_at(address: Any) -> Any:
    """The float32 at an address."""
    return carray(pointer(address), 1, np.float32)[0]
