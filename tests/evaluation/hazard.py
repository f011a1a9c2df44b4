"""A corridor whose seeds decide what befalls whoever walks it."""

from __future__ import annotations

import time

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete


class Hazard(gym.Env):
    """Seed s mod 5: 0 reaches the exit, 1 dies, 2 is cut by the environment, 3 never ends, 4 raises.

    Whoever reaches the exit takes the planner's 4 steps, and one more for each time action 0 is chosen.
    """

    observation_space = Box(0, 1000, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, max_steps=8, sleep_s=0.0, tells_each_step=False, raises=True):
        self._max_steps, self._sleep_s, self._raises = max_steps, sleep_s, raises
        self._tells_each_step = tells_each_step

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.kind = int(seed or 0) % 5
        self.t = self.way = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        time.sleep(self._sleep_s)
        self.t += 1
        self.way += int(action)
        if self.kind == 4 and self.t == 3 and self._raises:
            raise OSError("the floor gives way")
        success, death = self.kind == 0 and self.way == 4, self.kind == 1 and self.t == 2
        truncated = self.kind != 3 and self.t >= self._max_steps and not (success or death)
        told = {"is_success": success, "death": death, "optimal_steps": 4}
        over = success or death or truncated
        info = told if over or self._tells_each_step else {}
        return np.full(1, self.t, np.float32), float(success), success or death, truncated, info
