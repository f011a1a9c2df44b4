"""Sums of weights in trees of sixteen branches, one tree for each block.

A wide tree is read in few cache lines, and one for each block comes and goes with its block. Leaves are
float32. Sums are float64, and always computed anew from what is below, so that no error builds up.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

WIDTH: Final = 16


class SumTrees:
    """Weights by block and offset.

    Args:
        blocks: number of blocks to make room for at first.
        block_rows: leaves of a tree, a power of two of at least 16.

    Attributes:
        leaves: float32 ``(blocks, block_rows)``.
        roots: float64 ``(blocks,)`` sum of each block's leaves.
    """

    def __init__(self, blocks: int, block_rows: int) -> None:
        self.leaves = np.zeros((blocks, block_rows), np.float32)
        self._low = np.zeros((blocks, max(block_rows // WIDTH, 1)), np.float64)
        self._high = np.zeros((blocks, max(block_rows // WIDTH**2, 1)), np.float64)
        self.roots = np.zeros(blocks, np.float64)

    @property
    def nbytes(self) -> int:
        """Bytes of all trees."""
        return self.leaves.nbytes + self._low.nbytes + self._high.nbytes + self.roots.nbytes

    def grow(self, blocks: int) -> None:
        """Makes room for more blocks."""
        for name in ("leaves", "_low", "_high", "roots"):
            array = getattr(self, name)
            grown = np.zeros((blocks, *array.shape[1:]), array.dtype)
            grown[: len(array)] = array
            setattr(self, name, grown)

    def refresh(self, block: NDArray[np.int64], offset: NDArray[np.int64]) -> None:
        """Computes the sums anew above leaves that were changed."""
        _refresh(block, offset, self.leaves, self._low, self._high, self.roots)

    def find(self, targets: NDArray[np.float64], entries: NDArray[np.int64]) -> NDArray[np.int64]:
        """The leaves at which the running sum of weights passes some targets.

        Args:
            targets: ``(n,)`` from 0 to below the sum of the blocks' roots.
            entries: ``(blocks,)`` the blocks to look in, in order.

        Returns:
            ``(2, n)``: block and offset; no leaf of weight 0 is found.
        """
        ends = np.cumsum(self.roots[entries])
        out = np.empty((2, len(targets)), np.int64)
        _find(targets, entries, ends, self.leaves, self._low, self._high, self.roots, out)
        return out


@njit(cache=True, nogil=True)
def _refresh(block: Any, offset: Any, leaves: Any, low: Any, high: Any, roots: Any) -> None:
    width = leaves.shape[1] // low.shape[1]
    upper = low.shape[1] // high.shape[1]
    same, before = -1, -1
    for i in range(len(block)):
        node = offset[i] // width
        if block[i] == same and node == before:
            continue
        same, before = block[i], node
        total = 0.0
        for j in range(node * width, (node + 1) * width):
            total += leaves[block[i], j]
        low[block[i], node] = total
    touched = np.zeros(len(roots), np.bool_)
    same, before = -1, -1
    for i in range(len(block)):
        node = offset[i] // width // upper
        if block[i] == same and node == before:
            continue
        same, before = block[i], node
        total = 0.0
        for j in range(node * upper, (node + 1) * upper):
            total += low[block[i], j]
        high[block[i], node] = total
        touched[block[i]] = True
    for b in np.flatnonzero(touched):
        total = 0.0
        for j in range(high.shape[1]):
            total += high[b, j]
        roots[b] = total


@njit(cache=True, nogil=True)
def _descend(values: Any, start: int, stop: int, target: float) -> Any:
    """The first entry at which the running sum passes the target, and what is left of the target there.

    Rounding may carry a target past the end; it then falls on the last entry that is not 0.
    """
    last = start
    for j in range(start, stop):
        value = values[j]
        if value > 0:
            if target < value:
                return j, target
            last = j
            target -= value
    return last, target + values[last]


@njit(cache=True, nogil=True)
def _find(
    targets: Any, entries: Any, ends: Any, leaves: Any, low: Any, high: Any, roots: Any, out: Any
) -> None:
    width = leaves.shape[1] // low.shape[1]
    upper = low.shape[1] // high.shape[1]
    for i in range(len(targets)):
        target = targets[i]
        at, last = 0, len(entries) - 1
        while at < last:
            middle = (at + last) >> 1
            if target < ends[middle]:
                last = middle
            else:
                at = middle + 1
        while roots[entries[at]] <= 0:
            at -= 1
        block = entries[at]
        left = target - (ends[at] - roots[block])
        node, left = _descend(high[block], 0, high.shape[1], left)
        node, left = _descend(low[block], node * upper, (node + 1) * upper, left)
        leaf, left = _descend(leaves[block], node * width, (node + 1) * width, left)
        out[0, i] = block
        out[1, i] = leaf
