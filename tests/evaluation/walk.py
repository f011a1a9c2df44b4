"""A walk whose length and rewards follow from its seed, alone and in vectorizations of its own."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space


class Walk(gym.Env):
    """Three to nine steps; reward = a draw + the action; the last step's info says how it went."""

    observation_space = Box(-100, 100, (2,), np.float32)
    action_space = Discrete(3)

    def __init__(self, raise_at=None):
        self._raise_at = raise_at

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.end = 0, int(self.np_random.integers(3, 10))
        return self._observation(), {}

    def step(self, action):
        if self.t == self._raise_at:
            raise ValueError("the walk is closed")
        self.t += 1
        reward = float(self.np_random.normal()) + int(action)
        over = self.t == self.end
        info = {"elapsed": self.t}
        if over:
            info |= {
                "distance": self.t / 2,
                "is_success": self.end % 2 == 0,
                "name": "walk",
                "more": {"a": 1},
            }
            if self.end > 6:
                info["long"] = np.float32(1.5)
        return self._observation(), reward, over, False, info

    def _observation(self):
        return np.array([self.t, self.end], np.float32)


class WalkVector(VectorEnv):
    """Sub-environments with seeds of their own; ``mode`` is how they begin anew."""

    mode = AutoresetMode.NEXT_STEP

    def __init__(self, num_envs=1, **config):
        self.metadata = {"autoreset_mode": self.mode}
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = Walk.observation_space, Walk.action_space
        self.observation_space = batch_space(Walk.observation_space, num_envs)
        self.action_space = batch_space(Walk.action_space, num_envs)
        self.inner = SyncVectorEnv([lambda: Walk(**config)] * num_envs, autoreset_mode=self.mode)

    def reset(self, *, seed=None, options=None):
        return self.inner.reset(seed=seed, options=options)

    def step(self, actions):
        return self.inner.step(actions)


class SameStepWalkVector(WalkVector):
    mode = AutoresetMode.SAME_STEP


class NoResetWalkVector(WalkVector):
    mode = AutoresetMode.DISABLED


class OneSeedWalkVector(WalkVector):
    """Takes a list of seeds and uses the first for all, as a vectorization with one generator might."""

    def reset(self, *, seed=None, options=None):
        return self.inner.reset(seed=seed[0] if isinstance(seed, list) else seed, options=options)


class DriftingWalkVector(WalkVector):
    """Begins like single environments, then goes on differently."""

    def step(self, actions):
        observations, rewards, *rest = self.inner.step(actions)
        return observations, rewards + 1, *rest


class Ones:
    """Always takes action 1."""

    def __init__(self, *, seed):
        del seed

    def act(self, env, observations):
        return np.ones(env.num_envs, np.int64)

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


def play_single(seed, max_steps=100):
    """Return, length and last info of one walk under ``Ones``, stepped by hand."""
    env = Walk()
    env.reset(seed=seed)
    total, steps, over, info = 0.0, 0, False, {}
    while not over and steps < max_steps:
        _, reward, over, _, info = env.step(1)
        total, steps = total + reward, steps + 1
    return total, steps, info
