"""Environments with observations and actions of many kinds; the reward is 1 for actions near the top."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space

OBSERVATIONS: dict[str, Space[Any]] = {
    "float64": Box(-1.0, 1.0, (3,), np.float64),
    "int32": Box(-5, 5, (2, 2), np.int32),
    "bytes": Box(0, 255, (6,), np.uint8),
    "dict": Dict({"speed": Box(-1.0, 1.0, (2,), np.float32), "gear": Discrete(4, start=1)}),
    "image": Box(0, 255, (12, 12, 3), np.uint8),
}
ACTIONS: dict[str, Space[Any]] = {
    "float32": Box(-2.0, 3.0, (2,), np.float32),
    "float64": Box(-1.0, 1.0, (), np.float64),
    "discrete": Discrete(3, start=-1),
}


class ManySpaces(gym.Env[Any, Any]):
    """Random observations; episodes of nine steps.

    Args:
        config: ``observation`` and ``action``, names of the tables above.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.observation_space = OBSERVATIONS[config["observation"]]
        self.action_space = ACTIONS[config["action"]]
        self._step = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._step = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(np.asarray(action)), action
        self._step += 1
        return self.observation_space.sample(), float(np.mean(action) > 0), self._step == 9, False, {}
