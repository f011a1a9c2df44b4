"""CartPole that can tell and take back its state, so that a resumed run can be compared bit for bit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv


class StatefulCartPole(CartPoleEnv):
    def signals(self) -> dict[str, float]:
        position, _, angle, _ = self.state
        return {"queue": abs(position), "latency": abs(angle), "balance": 1 / (1 + abs(position))}

    def get_state(self) -> dict[str, Any]:
        return {
            "state": np.array(self.state),
            "beyond": self.steps_beyond_terminated,
            "rng": self.np_random.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.state = tuple(state["state"])
        self.steps_beyond_terminated = state["beyond"]
        self.np_random.bit_generator.state = state["rng"]


def make_stateful_cartpole(config: dict[str, Any]) -> gym.Env[Any, Any]:
    return gym.wrappers.TimeLimit(StatefulCartPole(), max_episode_steps=50)
