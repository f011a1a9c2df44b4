"""Random walks that can tell and restore their state, single and natively vectorized."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

_OBSERVATION, _ACTION = Box(-np.inf, np.inf, (2,), np.float32), Discrete(3)


class RandomWalk(gym.Env[Any, Any]):
    """A step adds noise and the action; far from 0 the walk ends. Its state leaves out ``np_random``."""

    def __init__(self, bound: float = 3.0) -> None:
        self.observation_space, self.action_space = _OBSERVATION, _ACTION
        self.bound = bound

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.at, self.steps = float(self.np_random.normal()), 0
        return self._show(), {}

    def step(self, action: Any) -> Any:
        self.at += float(self.np_random.normal()) + 0.1 * (int(action) - 1)
        self.steps += 1
        return self._show(), self.at, abs(self.at) > self.bound, False, {"is_success": self.at > 0}

    def get_state(self) -> dict[str, Any]:
        return {"at": self.at, "steps": self.steps}

    def set_state(self, state: dict[str, Any]) -> None:
        self.at, self.steps = state["at"], state["steps"]

    def _show(self) -> Any:
        return np.array([self.at, self.steps], np.float32)


class RandomWalks(VectorEnv[Any, Any, Any]):
    """The same, natively vectorized, with a limit of steps."""

    def __init__(self, num_envs: int, mode: AutoresetMode, limit: int = 6) -> None:
        self.num_envs, self.limit = num_envs, limit
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = _OBSERVATION, _ACTION
        self.observation_space = batch_space(_OBSERVATION, num_envs)
        self.action_space = batch_space(_ACTION, num_envs)
        self.at, self.steps = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self.over = np.zeros(num_envs, np.bool_)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._begin(np.ones(self.num_envs, np.bool_) if options is None else options["reset_mask"])
        return self._show(), {}

    def step(self, actions: Any) -> Any:
        resetting, mode = self.over.copy(), self.metadata["autoreset_mode"]
        self.at += self.np_random.normal(size=self.num_envs) + 0.1 * (actions - 1)
        self.steps += 1
        self._begin(resetting)
        rewards = np.where(resetting, 0, self.at)
        terminated = (np.abs(self.at) > 3) & ~resetting
        truncated = (self.steps == self.limit) & ~terminated
        over = self.over = terminated | truncated
        info: dict[str, Any] = {}
        if mode is AutoresetMode.SAME_STEP:
            info["final_obs"] = self._show()
            self._begin(over)
        return self._show(), rewards, terminated, truncated, info

    def get_state(self) -> dict[str, Any]:
        return {"at": self.at.copy(), "steps": self.steps.copy(), "over": self.over.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        self.at, self.steps, self.over = (state[name].copy() for name in ("at", "steps", "over"))

    def _begin(self, slots: NDArray[np.bool_]) -> None:
        self.at[slots] = self.np_random.normal(size=int(slots.sum()))
        self.steps[slots] = 0
        self.over = self.over & ~slots

    def _show(self) -> Any:
        return np.stack([self.at, self.steps], 1).astype(np.float32)
