"""Pace: which gradient steps belong to the environment steps sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Pace:
    """Keeps the ratio of gradient steps to environment steps.

    With ratio r and S steps before learning, n environment steps call for ⌊r · (n - S)⌋ gradient steps. What
    a round may not make, because of its bound say, is let go: nothing is made up for later. Another ratio
    after a restore holds from there on.

    Args:
        ratio: gradient steps for each environment step.
        starts: environment steps before the first gradient step.
        most: gradient steps of a round, at most; None for no bound.

    Attributes:
        steps: gradient steps made.
    """

    def __init__(self, ratio: float, starts: int, most: int | None) -> None:
        self._ratio = ratio
        self._starts = starts
        self._most = most
        self._seen = 0
        self.steps = 0

    def next_round(self, env_steps: int, *, possible: bool = True) -> NDArray[np.int64]:
        """The gradient steps of the round that begins after so many environment steps; they count as made.

        Args:
            env_steps: environment steps so far.
            possible: whether there is anything to learn from; without, the round's steps are let go.

        Returns:
            Of each gradient step the number of environment steps that called for it, rising; of those beyond
            the bound the first are left out.
        """
        first, last = self._called_for(self._seen), self._called_for(env_steps)
        self._seen = max(self._seen, env_steps)
        if not possible:
            return np.empty(0, np.int64)
        numbers = np.arange(first + 1, last + 1)[-self._most if self._most else None :]
        self.steps += len(numbers)
        # the fewest n with ⌊r · (n - S)⌋ at least the step's number, whatever the division rounded to
        after = np.ceil(numbers / self._ratio)
        after += np.floor(self._ratio * after) < numbers
        after -= np.floor(self._ratio * (after - 1)) >= numbers
        due: NDArray[np.int64] = self._starts + after.astype(np.int64)
        return due

    def get_state(self) -> dict[str, int]:
        """The counters."""
        return {"seen": self._seen, "steps": self.steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_state`` gave."""
        self._seen, self.steps = state["seen"], state["steps"]

    def _called_for(self, env_steps: int) -> int:
        return int(self._ratio * max(0, env_steps - self._starts))
