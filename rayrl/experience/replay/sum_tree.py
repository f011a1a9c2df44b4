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


@njit(cache=True, nogil=True)
def _refresh(block: Any, offset: Any, leaves: Any, sums: Any, begins: Any, is_due: Any) -> None:
    n, flat_leaves, flat_sums, flat_due = len(block), leaves.reshape(-1), sums.reshape(-1), is_due.reshape(-1)
    # Of each node that is due its tree, and its place within the level.
    trees, nodes = np.empty(n, np.int64), np.empty(n, np.int64)
    due = 0
    for i in range(n):
        node = offset[i] >> _BITS
        at = np.uint64(block[i] * sums.shape[1] + node)
        if not flat_due[at]:
            flat_due[at] = True
            trees[due] = block[i]
            nodes[due] = node
            due += 1
    for level in range(len(begins) - 1):
        n, due = due, 0
        begin, end = begins[level], begins[level + 1]
        for i in range(n):
            tree = trees[i] * sums.shape[1]
            at = np.uint64(tree + begin + nodes[i])
            flat_due[at] = False
            if level == 0:
                flat_sums[at] = _sum(flat_leaves, trees[i] * leaves.shape[1] + nodes[i] * WIDTH)
            else:
                flat_sums[at] = _sum(flat_sums, tree + begins[level - 1] + nodes[i] * WIDTH)
            above = np.uint64(tree + end + (nodes[i] >> _BITS))
            if end < sums.shape[1] and not flat_due[above]:
                flat_due[above] = True
                trees[due] = trees[i]
                nodes[due] = nodes[i] >> _BITS
                due += 1


@njit(cache=True, nogil=True)
def _refresh_range(block: int, first: int, last: int, leaves: Any, sums: Any, begins: Any) -> None:
    flat_leaves, flat_sums, tree = leaves.reshape(-1), sums.reshape(-1), block * sums.shape[1]
    if first >= last:
        return
    last -= 1
    for level in range(len(begins) - 1):
        first >>= _BITS
        last >>= _BITS
        for node in range(first, last + 1):
            at = np.uint64(tree + begins[level] + node)
            if level == 0:
                flat_sums[at] = _sum(flat_leaves, block * leaves.shape[1] + node * WIDTH)
            else:
                flat_sums[at] = _sum(flat_sums, tree + begins[level - 1] + node * WIDTH)


@njit(cache=True, nogil=True, inline="always")
def _sum(values: Any, begin: int) -> Any:
    first = np.uint64(begin)
    low = _sum_of_four(values, first) + _sum_of_four(values, first + np.uint64(4))
    return low + (_sum_of_four(values, first + np.uint64(8)) + _sum_of_four(values, first + np.uint64(12)))


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
    n, flat_leaves, flat_sums = len(block), leaves.reshape(-1), sums.reshape(-1)
    begin = np.empty(n, np.int64)
    for i in range(n):
        node[i] = 0
    for level in range(len(begins) - 3, -1, -1):
        for i in range(n):
            begin[i] = block[i] * sums.shape[1] + begins[level]
        _descend(flat_sums, begin, node, left)
        for i in range(n):
            if level:
                start = block[i] * sums.shape[1] + begins[level - 1] + node[i] * WIDTH
                prefetch(sums.ctypes.data + start * sums.itemsize)
                prefetch(sums.ctypes.data + start * sums.itemsize + LINE)
            else:
                start = block[i] * leaves.shape[1] + node[i] * WIDTH
                prefetch(leaves.ctypes.data + start * leaves.itemsize)
    for i in range(n):
        begin[i] = block[i] * leaves.shape[1]
    _descend(flat_leaves, begin, node, left)
    for i in range(n):
        weight[i] = leaves[block[i], node[i]]


@njit(cache=True, nogil=True)
def _descend(values: Any, begin: Any, node: Any, left: Any) -> None:
    """Replaces each node by that of its children, in the level from ``begin`` on, that its target is in."""
    passed = np.zeros(4)
    # Four sums of four, and then one of these: half as many steps as sixteen in a row. Nothing here branches,
    # and indexes are unsigned, which cannot count from the end: so several are looked for at once.
    for i in range(len(node)):
        target, first = left[i], np.uint64(begin[i] + node[i] * WIDTH)
        passed[1] = _sum_of_four(values, first)
        passed[2] = passed[1] + _sum_of_four(values, first + np.uint64(4))
        passed[3] = passed[2] + _sum_of_four(values, first + np.uint64(8))
        four = (
            np.uint64(passed[1] <= target) + np.uint64(passed[2] <= target) + np.uint64(passed[3] <= target)
        )
        target -= passed[four]
        first += np.uint64(4) * four
        passed[1] = values[first]
        passed[2] = passed[1] + values[first + np.uint64(1)]
        passed[3] = passed[2] + values[first + np.uint64(2)]
        one = np.uint64(passed[1] <= target) + np.uint64(passed[2] <= target) + np.uint64(passed[3] <= target)
        left[i] = target - passed[one]
        node[i] = node[i] * WIDTH + np.int64(np.uint64(4) * four + one)
    for i in range(len(node)):
        if values[np.uint64(begin[i] + node[i])] == 0:
            # Rounding carried the target past the end; it falls on the last child that is not 0.
            while node[i] % WIDTH and values[begin[i] + node[i]] == 0:
                node[i] -= 1
            left[i] = values[begin[i] + node[i]]


@njit(cache=True, nogil=True, inline="always")
def _sum_of_four(values: Any, first: Any) -> Any:
    low = np.float64(values[first]) + np.float64(values[first + np.uint64(1)])
    high = np.float64(values[first + np.uint64(2)]) + np.float64(values[first + np.uint64(3)])
    return low + high
