"""Environments for env runners, in a module that workers can import, too."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from tests.rollout.stateful_env import RandomWalk


class ContextEnv(gym.Env[Any, Any]):
    """Shows what RLlib's ``EnvContext`` says; takes the one dict that RLlib's environments take."""

    observation_space = Box(0, 100, (3,), np.float32)
    action_space = Discrete(2)

    def __init__(self, config: Any) -> None:
        self.shown = np.array([config.worker_index, config.num_workers, config["size"]], np.float32)
        self.at = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.at = 0
        return self.shown, {}

    def step(self, action: Any) -> Any:
        self.at += 1
        return self.shown, 1.0, False, self.at == 5, {"is_success": self.at == 5}


class SeedEnv(gym.Env[Any, Any]):
    """Shows noise that its seed alone decides."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-2, 2, (1,), np.float32)

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at, self.at = fail_at, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.left = 10
        return self.np_random.normal(size=2).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.at += 1
        if self.fail_at is not None and self.at >= self.fail_at:
            raise RuntimeError("the simulator crashed")
        self.left -= 1
        reward = float(np.asarray(action).item())
        return self.np_random.normal(size=2).astype(np.float32), reward, False, self.left == 0, {}


class BreakableWalk(RandomWalk):
    """Raises for as long as a file is there."""

    def __init__(self, broken: str) -> None:
        super().__init__()
        self.broken = Path(broken)

    def step(self, action: Any) -> Any:
        if self.broken.exists():
            raise RuntimeError("the simulator crashed")
        return super().step(action)
