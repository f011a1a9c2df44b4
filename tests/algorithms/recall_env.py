"""A task for a memory: what the first observation showed is asked for some steps later."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

CUES = 3


class Recall(gym.Env[Any, Any]):
    """Shows one of three cues, then nothing, and pays 1 for the cue's action in the last of its steps.

    Whoever goes by the present observation alone gets 1/3 on average.
    """

    def __init__(self, steps: int = 5) -> None:
        self.observation_space = gym.spaces.Box(0, 1, (CUES + 1,), np.float32)
        self.action_space = gym.spaces.Discrete(CUES)
        self.steps = steps

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.cue, self.at = int(self.np_random.integers(CUES)), 0
        return self._show(), {}

    def step(self, action: Any) -> Any:
        self.at += 1
        over = self.at == self.steps
        return self._show(), float(over and int(action) == self.cue), over, False, {}

    def get_state(self) -> dict[str, Any]:
        return {"cue": self.cue, "at": self.at, "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.cue, self.at = state["cue"], state["at"]
        self.np_random.bit_generator.state = state["rng"]

    def _show(self) -> Any:
        shown = np.zeros(CUES + 1, np.float32)
        if self.at == 0:
            shown[self.cue] = 1
        shown[CUES] = self.at == self.steps - 1
        return shown


def make_recall(config: dict[str, Any]) -> gym.Env[Any, Any]:
    return Recall(**config)
