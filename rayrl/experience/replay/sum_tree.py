"""Sums of weights in trees of sixteen branches, one tree for each block.

A wide tree is read in few cache lines, and one for each block comes and goes with its block. Leaves are
float32. Sums are float64, and always computed anew from what is below, so that no error builds up.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.experience.replay.memory import LINE, prefetch

WIDTH: Final = 16


class SumTrees:
    """Weights by block and offset.

    Args:
        block_rows: leaves of a tree, a power of two of at least 16.

    Attributes:
        leaves: float32 ``(blocks, block_rows)``.
        roots: float64 ``(blocks,)`` sum of each block's leaves.
    """

    def __init__(self, block_rows: int) -> None:
        self.leaves = np.zeros((0, block_rows), np.float32)
        self.roots = np.zeros(0, np.float64)
        self._sums: list[NDArray[np.float64]] = []
        nodes = block_rows
        while nodes > WIDTH:
            nodes = -(-nodes // WIDTH)
            self._sums.append(np.zeros((0, nodes), np.float64))

    @property
    def nbytes(self) -> int:
        """Bytes of all trees."""
        arrays: list[NDArray[Any]] = [self.leaves, self.roots, *self._sums]
        return sum(array.nbytes for array in arrays)

    def grow(self, blocks: int) -> None:
        """Makes room for more blocks."""
        self.leaves, self.roots = _grown(self.leaves, blocks), _grown(self.roots, blocks)
        self._sums = [_grown(level, blocks) for level in self._sums]

    def refresh(self, block: NDArray[np.int64], offset: NDArray[np.int64]) -> None:
        """Computes the sums anew above leaves that were changed."""
        levels: list[NDArray[Any]] = [self.leaves, *self._sums]
        node = offset
        for below, above in itertools.pairwise(levels):
            node = node // WIDTH
            _sum_up(block, node, below, above)
        touched = np.unique(block)
        self.roots[touched] = levels[-1][touched].sum(1, dtype=np.float64)

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
        block, left = np.empty(len(targets), np.int64), np.empty(len(targets), np.float64)
        _find_block(targets, entries[:used], roots, np.append(0, np.cumsum(roots)), block, left)
        levels: list[NDArray[Any]] = [*self._sums[::-1], self.leaves]
        node = np.zeros(len(targets), np.int64)
        for level, below in zip(levels, [*levels[1:], self.leaves], strict=True):
            _descend(block, node, left, level, below)
        return block, node, self.leaves[block, node]


def _grown(array: NDArray[Any], blocks: int) -> NDArray[Any]:
    grown = np.zeros((blocks, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


@njit(cache=True, nogil=True)
def _sum_up(block: Any, node: Any, below: Any, above: Any) -> None:
    """Sets nodes ``(n,)`` of ``above`` to the sums of their children."""
    for i in range(len(block)):
        if i and block[i] == block[i - 1] and node[i] == node[i - 1]:
            continue
        first = node[i] * WIDTH
        total = 0.0
        for j in range(first, min(first + WIDTH, below.shape[1])):
            total += below[block[i], j]
        above[block[i], node[i]] = total


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
def _descend(block: Any, node: Any, left: Any, level: Any, below: Any) -> None:
    """Replaces each node by that of its children in ``level`` at which the running sum passes what is left.

    Args:
        block: ``(n,)``.
        node: ``(n,)``, of the level above.
        left: ``(n,)`` what is left of the target, from where the node begins.
        level: sums, or leaves, of the children.
        below: those of their children, to be read next.
    """
    children = level.shape[1]
    for i in range(len(block)):
        first = node[i] * WIDTH
        last = min(first + WIDTH, children)
        # Without a branch in it the loop takes the same time wherever the target is.
        total, passed, before = 0.0, 0, 0.0
        for j in range(first, last):
            total += level[block[i], j]
            is_before = total <= left[i]
            passed += is_before
            before = total if is_before else before
        found = first + passed
        if found == last:
            # Rounding carried the target past the end; it falls on the last child that is not 0.
            found = last - 1
            while found > first and level[block[i], found] == 0:
                found -= 1
            before = total - level[block[i], found]
        node[i] = found
        left[i] -= before
        width = below.shape[1]
        start = below.ctypes.data + (block[i] * width + found * WIDTH) * below.itemsize
        prefetch(start)
        prefetch(start + LINE)
