"""Sums of weights in trees of sixteen branches, one tree for each block.

A wide tree is read in few cache lines, and one for each block comes and goes with its block. Leaves are
float32. Sums are float64, and always computed anew from what is below, so that no error builds up. After a
change each sum above it is computed once, level by level, however many leaves below it have changed.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.experience.replay.memory import LINE, prefetch

WIDTH: Final = 16
_BITS: Final = 4


class SumTrees:
    """Weights by block and offset.

    Args:
        block_rows: leaves of a tree, a power of two of at least 16.

    Attributes:
        leaves: float32 ``(blocks, block_rows)``.
    """

    def __init__(self, block_rows: int) -> None:
        nodes = block_rows // WIDTH
        levels = []
        while nodes > 1:
            levels.append(-(-nodes // WIDTH) * WIDTH)
            nodes = levels[-1] // WIDTH
        levels.append(1)
        self.leaves = np.zeros((0, block_rows), np.float32)
        # The sums of each level lie behind those of the level below it, with zeros up to whole groups of
        # sixteen; the last one is the root.
        self._sums = np.zeros((0, sum(levels)), np.float64)
        self._is_due = np.zeros((0, sum(levels)), np.bool_)
        self._begins = np.append(0, np.cumsum(levels)).astype(np.int64)

    @property
    def roots(self) -> NDArray[np.float64]:
        """float64 ``(blocks,)`` sum of each block's leaves."""
        roots: NDArray[np.float64] = self._sums[:, -1]
        return roots

    @property
    def nbytes(self) -> int:
        """Bytes of all trees."""
        return self.leaves.nbytes + self._sums.nbytes + self._is_due.nbytes

    def grow(self, blocks: int) -> None:
        """Makes room for more blocks."""
        self.leaves, self._sums = _grown(self.leaves, blocks), _grown(self._sums, blocks)
        self._is_due = _grown(self._is_due, blocks)

    def refresh(self, block: NDArray[np.int64], offset: NDArray[np.int64]) -> None:
        """Computes the sums anew above leaves ``(n,)`` that were changed."""
        _refresh(block, offset, self.leaves, self._sums, self._begins, self._is_due)

    def refresh_range(self, block: int, first: int, last: int) -> None:
        """Computes the sums anew above the leaves of a block from offset ``first`` to before ``last``."""
        _refresh_range(block, first, last, self.leaves, self._sums, self._begins)

    def find(
        self, targets: NDArray[np.float64], entries: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """The leaves at which the running sum of weights passes some targets.

        Args:
            targets: ``(n,)`` from 0 to below the sum of the blocks' roots, which is more than 0.
            entries: ``(blocks,)`` the blocks to look in, in order.

        Returns:
            Block, offset and weight of each, ``(n,)``; no leaf of weight 0 is found.
        """
        roots = self.roots[entries]
        # Rounding may carry a target past the end; it then falls on the last block that weighs anything.
        used = np.flatnonzero(roots)[-1] + 1
        n = len(targets)
        block, left = np.empty(n, np.int64), np.empty(n, np.float64)
        _find_block(targets, entries[:used], roots, np.append(0, np.cumsum(roots)), block, left)
        node, weight = np.empty(n, np.int64), np.empty(n, np.float32)
        _find_leaf(block, left, self.leaves, self._sums, self._begins, node, weight)
        return block, node, weight


def _grown(array: NDArray[Any], blocks: int) -> NDArray[Any]:
    grown = np.zeros((blocks, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _sum(values: Any, row: int, first: int) -> float:
    total = 0.0
    for i in range(WIDTH):
        total += values[row, first + i]
    return total


@njit(cache=True, nogil=True)
def _refresh(block: Any, offset: Any, leaves: Any, sums: Any, begins: Any, is_due: Any) -> None:
    n = len(block)
    blocks, nodes = np.empty(n, np.int64), np.empty(n, np.int64)
    due = 0
    for i in range(n):
        node = offset[i] >> _BITS
        if not is_due[block[i], node]:
            is_due[block[i], node] = True
            blocks[due] = block[i]
            nodes[due] = node
            due += 1
    for level in range(len(begins) - 1):
        n, due = due, 0
        begin, end = begins[level], begins[level + 1]
        for i in range(n):
            at, node = blocks[i], nodes[i]
            is_due[at, begin + node] = False
            if level == 0:
                sums[at, node] = _sum(leaves, at, node * WIDTH)
            else:
                sums[at, begin + node] = _sum(sums, at, begins[level - 1] + node * WIDTH)
            above = end + node >> _BITS
            if end < sums.shape[1] and not is_due[at, above]:
                is_due[at, above] = True
                blocks[due] = at
                nodes[due] = node >> _BITS
                due += 1


@njit(cache=True, nogil=True)
def _refresh_range(block: int, first: int, last: int, leaves: Any, sums: Any, begins: Any) -> None:
    if first >= last:
        return
    last -= 1
    for level in range(len(begins) - 1):
        first >>= _BITS
        last >>= _BITS
        for node in range(first, last + 1):
            if level == 0:
                sums[block, node] = _sum(leaves, block, node * WIDTH)
            else:
                sums[block, begins[level] + node] = _sum(sums, block, begins[level - 1] + node * WIDTH)


@njit(cache=True, nogil=True)
def _find_block(targets: Any, entries: Any, roots: Any, starts: Any, block: Any, left: Any) -> None:
    """Finds the last block that begins at or before each target, into ``block``, and what is left there."""
    for i in range(len(targets)):
        at, size = 0, len(entries)
        while size > 1:
            # Without a branch in it the search takes the same time wherever the target is.
            half = size >> 1
            at += half * (starts[at + half] <= targets[i])
            size -= half
        while roots[at] == 0:
            at -= 1
        block[i] = entries[at]
        left[i] = targets[i] - starts[at]


@njit(cache=True, nogil=True)
def _find_leaf(block: Any, left: Any, leaves: Any, sums: Any, begins: Any, node: Any, weight: Any) -> None:
    """Finds the leaf of each block at which the running sum passes what is left of the target."""
    n, levels, width = len(block), len(begins) - 1, leaves.shape[1]
    for i in range(n):
        node[i] = 0
    for level in range(levels - 2, -1, -1):
        for i in range(n):
            node[i] = _descend(sums, block[i], begins[level], node[i], left, i)
            if level:
                start = sums.ctypes.data + (
                    (block[i] * sums.shape[1] + begins[level - 1] + node[i] * WIDTH) * sums.itemsize
                )
                prefetch(start)
                prefetch(start + LINE)
            else:
                prefetch(leaves.ctypes.data + (block[i] * width + node[i] * WIDTH) * leaves.itemsize)
    for i in range(n):
        node[i] = _descend(leaves, block[i], 0, node[i], left, i)
        weight[i] = leaves[block[i], node[i]]


@njit(cache=True, nogil=True)
def _descend(values: Any, block: int, begin: int, node: int, left: Any, i: int) -> int:
    """The child of a node, in the level of ``values`` from ``begin`` on, that the target falls on."""
    first, target = begin + node * WIDTH, left[i]
    # Four sums of four, and then one of these: half as many steps as sixteen in a row. Without a branch in
    # it this takes the same time wherever the target is.
    one = _sum_of_four(values, block, first)
    two = one + _sum_of_four(values, block, first + 4)
    three = two + _sum_of_four(values, block, first + 8)
    passed = (one <= target) + (two <= target) + (three <= target)
    before = three if passed == 3 else two if passed == 2 else one if passed == 1 else 0.0
    target -= before
    found = first + 4 * passed
    one = float(values[block, found])
    two = one + values[block, found + 1]
    three = two + values[block, found + 2]
    passed = (one <= target) + (two <= target) + (three <= target)
    before = three if passed == 3 else two if passed == 2 else one if passed == 1 else 0.0
    target -= before
    found += passed
    if values[block, found] == 0:
        # Rounding carried the target past the end; it falls on the last child that is not 0.
        while found > first and values[block, found] == 0:
            found -= 1
        target = float(values[block, found])
    left[i] = target
    return found - begin


@njit(cache=True, nogil=True)
def _sum_of_four(values: Any, block: int, first: int) -> float:
    low = float(values[block, first]) + float(values[block, first + 1])
    return low + (float(values[block, first + 2]) + float(values[block, first + 3]))
