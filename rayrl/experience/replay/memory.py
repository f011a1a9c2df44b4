"""Reading rows from blocks that lie anywhere in memory: each row is found by its address.

A sample touches nearly every block, so one numpy call for each block and column would cost more than the
copying does. Here one compiled loop copies a whole column, whatever blocks its rows are in.

Nothing here checks bounds. Addresses come from ``BlockColumns``, which keeps the arrays alive and of the
shape that it says; rows come from the index.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

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
_NONE = np.empty(0, np.bool_)
_FOR_READING, _KEEP_LONG, _DATA = 0, 3, 1


_WORDS = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def word(row_bytes: int) -> np.dtype[Any]:
    """The largest unsigned integer type, of 8 bytes at most, that divides a row."""
    return _WORDS[math.gcd(row_bytes, 8)]


class Rows(NamedTuple):
    """Which rows to read.

    Args:
        block: int64 ``(n,)``, with ``row`` where each is.
        row: rows of the blocks' arrays.
        is_other: bool ``(n,)``: which are in the second of two columns; of no length: none.
    """

    block: NDArray[np.int64]
    row: NDArray[np.int64]
    is_other: NDArray[np.bool_] = _NONE


def read_rows(
    rows: Rows,
    addresses: NDArray[np.int64],
    others: NDArray[np.int64],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
) -> NDArray[Any]:
    """Copies rows together.

    Args:
        rows: which.
        addresses: ``(blocks,)`` where the array of each block begins; C-contiguous, aligned to ``word`` of
            a row's bytes.
        others: the same of a second column.
        dtype: element type.
        shape: of a row.

    Returns:
        ``(n, *shape)``.
    """
    n = len(rows.block)
    out = np.empty((n, *shape), dtype)
    row_bytes = dtype.itemsize * math.prod(shape)
    if row_bytes and n:
        unit = word(row_bytes)
        _copy(
            rows.block, rows.row, addresses, others, rows.is_other, out.view(np.uint8).reshape(-1).view(unit)
        )
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
def _copy(block: Any, row: Any, addresses: Any, others: Any, is_other: Any, out: Any) -> None:
    n, either = len(block), len(is_other) > 0
    words = len(out) // n
    row_bytes = words * out.itemsize
    fetched = min(row_bytes, _MOST_AHEAD)
    begins = np.empty(n, np.int64)
    for i in range(n):
        base = others[block[i]] if either and is_other[i] else addresses[block[i]]
        begins[i] = base + row[i] * row_bytes
    for i in range(n):
        if i + AHEAD < n:
            for line in range(0, fetched, LINE):
                prefetch(begins[i + AHEAD] + line)
            # Rows begin anywhere in a line, so that the last byte may be in one more.
            prefetch(begins[i + AHEAD] + fetched - 1)
        found = carray(pointer(begins[i]), words, out.dtype)
        for j in range(words):
            out[np.uint64(i * words + j)] = found[np.uint64(j)]


@njit(cache=True, nogil=True)
def float32_at(address: Any) -> Any:
    """The float32 at an address."""
    return carray(pointer(address), 1, np.float32)[0]
