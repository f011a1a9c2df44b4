"""Environments that a stranger might bring."""

import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


class Views(gymnasium.Env):
    """A camera and a speed; episodes of ten steps."""

    observation_space = Dict({"camera": Box(0, 255, (16, 16, 3), np.uint8), "speed": Box(-1, 1, (1,))})
    action_space = Box(-1, 1, (2,))

    def __init__(self, gain: float = 0.5, name: str = "a b", render_mode=None, **others) -> None:
        self.gain = gain

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.seen(), {}

    def step(self, action):
        self.steps += 1
        return self.seen(), float(self.gain * action[0]), False, self.steps == 10, {}

    def seen(self):
        camera = self.np_random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return {"camera": camera, "speed": np.zeros(1, np.float32)}


class Faulty(Views):
    """Raises in its fifth step."""

    def step(self, action):
        if self.steps == 4:
            raise ConnectionError("the simulator hung up")
        return super().step(action)


class Slow(Views):
    """Takes 20 ms for a step."""

    def step(self, action):
        time.sleep(0.02)
        return super().step(action)


class NeverStarts(Views):
    """Raises in reset."""

    def reset(self, *, seed=None, options=None):
        raise FileNotFoundError("level.map")


class Greedy(Views):
    """Cannot be built without an argument."""

    def __init__(self, level) -> None:
        super().__init__()


class Pair(Views):
    """Acts in a space for which there is no distribution."""

    action_space = gymnasium.spaces.Tuple([Discrete(2), Discrete(2)])
