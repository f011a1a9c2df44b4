"""Priorities of steps, by row id: what prioritized replay draws by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.replay.memory import AHEAD, prefetch
from rayrl.experience.replay.options import PriorityOptions
from rayrl.experience.replay.sum_tree import SumTrees


class Priorities:
    """A weight ``(priority + epsilon) ** alpha`` for each live step.

    A step begins with the highest priority given so far, 1 at first, so that each is likely drawn once.

    Args:
        options: alpha and epsilon.
        block_rows: rows of a block.

    Attributes:
        trees: the weights, by block and offset of the row id.
        group_weights: float64 ``(groups,)`` sum of each group's weights.
        highest: the highest priority given so far.
    """

    def __init__(self, options: PriorityOptions, block_rows: int) -> None:
        self.options = options
        self.trees = SumTrees(block_rows)
        self.group_weights = np.zeros(16, np.float64)
        self.highest = 1.0

    def weights(self, priorities: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Weights of priorities ``(n,)``.

        Raises:
            DataError: a priority is negative, infinite or not a number.
        """
        values = np.asarray(priorities, np.float32)
        if len(values) and not (values.min() >= 0 and values.max() < np.inf):
            wrong = int(np.flatnonzero(~((values >= 0) & (values < np.inf)))[0])
            raise DataError(
                f"priority {priorities[wrong]} at position {wrong}",
                where="priorities",
                remedy="priorities are finite and at least 0; pass the absolute TD errors",
            )
        weights: NDArray[np.float32] = (values + np.float32(self.options.epsilon)) ** np.float32(
            self.options.alpha
        )
        return weights

    def begin(self, block: int, first: int, parts: NDArray[Any]) -> None:
        """Gives new rows of a block the highest priority so far.

        Args:
            block: its entry.
            first: offset of the first row.
            parts: records ``PART`` ``(n,)`` of their trajectories, one after another.
        """
        weight = self.weights(np.array([self.highest]))[0]
        self._make_room(int(parts["group"].max()))
        last = first + int(parts["length"].sum())
        self.trees.leaves[block, first:last] = weight
        self.trees.refresh_range(block, first, last)
        self.group_weights += np.bincount(
            parts["group"], parts["length"] * float(weight), len(self.group_weights)
        )

    def restore(
        self,
        block: int,
        offset: NDArray[np.int64],
        weights: NDArray[np.float32],
        groups: NDArray[np.int32],
    ) -> None:
        """Sets the weights of rows of one block, ``(n,)``, of which there are none yet."""
        self._make_room(int(groups.max(initial=0)))
        self.trees.leaves[block, offset] = weights
        self.trees.refresh(np.full(len(offset), block), offset)
        self.group_weights += np.bincount(groups, weights, len(self.group_weights))

    def assign(
        self,
        block: NDArray[np.int64],
        offset: NDArray[np.int64],
        weights: NDArray[np.float32],
        groups: NDArray[np.int32],
    ) -> None:
        """Changes the weights of live rows ``(n,)``; of one that is named twice the last one holds.

        Args:
            block: entries of their blocks.
            offset: of their ids within the blocks.
            weights: the new ones.
            groups: those of their trajectories.
        """
        _assign(block, offset, weights, groups, self.trees.leaves, self.group_weights)
        self.trees.refresh(block, offset)

    def clear(self, block: int, offset: NDArray[np.int64], group: int) -> None:
        """Takes the weights of rows of one block and one group away, which are about to be evicted."""
        self.group_weights[group] -= self.trees.leaves[block, offset].sum(dtype=np.float64)
        self.trees.leaves[block, offset] = 0
        self.trees.refresh(np.full(len(offset), block), offset)

    def _make_room(self, group: int) -> None:
        if group >= len(self.group_weights):
            more = np.zeros(max(len(self.group_weights), group + 1 - len(self.group_weights)))
            self.group_weights = np.concatenate([self.group_weights, more])


@njit(cache=True, nogil=True)
def _assign(block: Any, offset: Any, weights: Any, groups: Any, leaves: Any, group_weights: Any) -> None:
    for i in range(len(block)):
        ahead = i + AHEAD
        if ahead < len(block):
            at = block[ahead] * leaves.shape[1] + offset[ahead]
            prefetch(leaves.ctypes.data + at * leaves.itemsize)
        group_weights[groups[i]] += weights[i] - leaves[block[i], offset[i]]
        leaves[block[i], offset[i]] = weights[i]
