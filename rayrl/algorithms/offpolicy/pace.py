"""Pace: how many gradient steps belong to the environment steps sampled."""

from __future__ import annotations

from typing import Any


class Pace:
    """Keeps the ratio of gradient steps to environment steps.

    What a round may not make, because of its bound say, is let go: nothing is made up for later, so that
    another ratio after a restore brings no burst of gradient steps.

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
        self._called_for = 0
        self.steps = 0

    def next_round(self, env_steps: int, *, possible: bool = True) -> int:
        """Gradient steps of the round that begins after so many environment steps; they count as made.

        Args:
            env_steps: environment steps so far.
            possible: whether there is anything to learn from; without, the round's steps are let go.
        """
        # ⌊ratio · (steps - starts)⌋, less what was called for before
        total = int(self._ratio * max(0, env_steps - self._starts))
        due = max(0, total - self._called_for)
        self._called_for = max(total, self._called_for)
        made = (due if self._most is None else min(due, self._most)) if possible else 0
        self.steps += made
        return made

    def get_state(self) -> dict[str, int]:
        """The counters."""
        return {"called_for": self._called_for, "steps": self.steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_state`` gave."""
        self._called_for, self.steps = state["called_for"], state["steps"]
