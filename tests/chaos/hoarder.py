"""An environment that takes ever more memory in one of a run's trials."""

from typing import ClassVar

import numpy as np
from ray import tune

from tests.algorithms.stateful_env import StatefulCartPole

STEP = 64 * 2**20
"""Bytes that a step takes."""


class Hoarder(StatefulCartPole):
    """In the trial of seed 1, keeps ``STEP`` bytes more with each step, up to ``most``.

    All of a process have one hoard.
    """

    kept: ClassVar[list[np.ndarray]] = []

    def __init__(self, most: int = 0) -> None:
        super().__init__()
        self._most = most if (tune.get_context().get_trial_name() or "").endswith("seed_1") else 0

    def step(self, action):
        if len(self.kept) * STEP < self._most:
            self.kept.append(np.ones(STEP // 8))
        return super().step(action)
