"""Prioritized replay (Schaul et al. 2016, proportional variant)."""

from __future__ import annotations

import numpy as np
import pydantic
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.replay.priorities import Priorities
from rayrl.experience.replay.requests import Picked, Transitions
from rayrl.experience.replay.samplers.base import Census, Sampler, register_sampler
from rayrl.experience.replay.view import View

_LEAST_ACCEPTED = 1 / 32


@register_sampler("prioritized")
class Prioritized(Sampler):
    """Steps by ``(priority + epsilon) ** alpha``; results carry importance weights over the union."""

    beta: float = pydantic.Field(0.4, ge=0, le=1)
    """How much of the bias the importance weights correct."""

    def mass(self, view: View, union: Census) -> float:
        """Sum of the weights of the steps."""
        priorities = self._priorities(view)
        if view.wanted.all() and view.where.partition is None:
            return float(priorities.trees.roots[view.blocks].sum())
        groups = view.index.groups
        held = view.wanted & (groups.steps[: len(groups.members)] > 0)
        return float(np.maximum(priorities.group_weights[: len(held)][held], 0).sum())

    def draw(self, view: View, n: int, union: Census, generator: np.random.Generator) -> Picked:
        """Draws steps by weight."""
        priorities = self._priorities(view)
        total = float(priorities.trees.roots[view.blocks].sum())
        filtered = not view.wanted.all()
        accepted = self.mass(view, union) / total if filtered else 1.0
        if accepted < _LEAST_ACCEPTED:
            return self._among_listed(view, n, priorities, generator)
        parts: list[Picked] = []
        missing = n
        while missing > 0:
            tries = int(missing / accepted * 1.05) + 16 if filtered else missing
            block, offset, weights = priorities.trees.find(generator.random(tries) * total, view.blocks)
            row = view.index.rows_at(block, offset)
            picked = Picked(block, row, offset, weights.astype(np.float64))
            if filtered:
                picked = picked.take(np.flatnonzero(view.wanted[view.index.group_of(block, row)])[:missing])
            parts.append(picked)
            missing -= len(picked)
        return Picked.join(parts) if filtered else parts[0]

    def correction(self, weights: NDArray[np.float64], mass: float, items: int) -> NDArray[np.float64] | None:
        """Importance weights."""
        # w_i = (N P(i))^-β  (Schaul et al. 2016, section 3.4)
        importance: NDArray[np.float64] = (items * weights / mass) ** -self.beta
        return importance

    def _among_listed(
        self, view: View, n: int, priorities: Priorities, generator: np.random.Generator
    ) -> Picked:
        parts = [view.index.live_rows(int(block)) for block in view.blocks]
        block, row, offset = (np.concatenate(column) for column in zip(*parts, strict=True))
        wanted = view.wanted[view.index.group_of(block, row)]
        block, row, offset = block[wanted], row[wanted], offset[wanted]
        weights = priorities.trees.leaves[block, offset].astype(np.float64)
        sums = np.cumsum(weights)
        chosen = np.searchsorted(sums, generator.random(n) * sums[-1], side="right")
        return Picked(block, row, offset, weights).take(np.minimum(chosen, len(sums) - 1))

    def _priorities(self, view: View) -> Priorities:
        if not isinstance(view.target, Transitions):
            raise DataError(f"draws steps, not {view.target}", where="sampler 'prioritized'")
        if view.index.priorities is None:
            raise DataError(
                "the buffer keeps no priorities",
                where="sampler 'prioritized'",
                remedy="make it with ReplayOptions(priorities=PriorityOptions())",
            )
        return view.index.priorities
