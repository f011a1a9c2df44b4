"""Reading rows from blocks that lie anywhere in memory: each row is found by its address.

A sample touches nearly every block, so one numpy call for each block and column would cost more than the
copying does. Here one compiled loop copies a whole column, whatever blocks its rows are in.

Nothing here checks bounds. Addresses come from ``BlockColumns``, which keeps the arrays alive and of the
shape that it says; rows come from the index.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray


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


@njit(cache=True, nogil=True)
def _copy(addresses: Any, out: Any) -> None:
    n, words = out.shape
    for i in range(n):
        row = carray(pointer(addresses[i]), words, out.dtype)
        for j in range(words):
            out[i, j] = row[j]


@njit(cache=True, nogil=True)
def float32_at(address: Any) -> Any:
    """The float32 at an address."""
    return carray(pointer(address), 1, np.float32)[0]
