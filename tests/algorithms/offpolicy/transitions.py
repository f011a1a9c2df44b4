"""Transitions for learners from replay, as a draw that is here already."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.offpolicy.data import Ratings, ReplayData
from rayrl.experience.replay.samples import TransitionSample

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = gym.spaces.Box(-2, 2, (2,), np.float32)
DISCRETE = gym.spaces.Discrete(3, start=1)


class Here:
    """A draw that needs no fetching."""

    def __init__(self, sample: TransitionSample) -> None:
        self._sample = sample

    def fetch(self, *, scaled: bool = True) -> TransitionSample:
        return self._sample


def transitions(rows: int, action_space: gym.Space[Any], seed: int = 0, **columns: Any) -> TransitionSample:
    """Random steps of one step each; every fourth one terminates."""
    rng = np.random.default_rng(seed)
    over = np.arange(rows) % 4 == 3
    if isinstance(action_space, gym.spaces.Box):
        actions: Any = rng.uniform(-2, 2, (rows, 2)).astype(np.float32)
    else:
        actions = rng.integers(1, 4, rows)
    weights = columns.pop("weights", None)
    return TransitionSample(
        {
            "obs": rng.standard_normal((rows, 3), dtype=np.float32),
            "next_obs": rng.standard_normal((rows, 3), dtype=np.float32),
            "actions": actions,
            "rewards": rng.standard_normal(rows, dtype=np.float32),
            "discounts": np.full(rows, 0.9, np.float32),
            "n_steps": np.ones(rows, np.int64),
            "terminated": over,
            "truncated": np.zeros(rows, np.bool_),
        }
        | columns,
        np.arange(rows),
        np.zeros(rows, np.int64),
        weights,
    )


def build(config: ColumnarConfig, action_space: gym.Space[Any]) -> Any:
    """A learner in this process, of small networks."""
    torch.manual_seed(config.seed)
    config.rl_module(model_config={"fcnet_hiddens": [8], **(config._model_config or {})})
    learner = config.build_learner(spaces={"default_policy": (OBSERVATION, action_space)})
    learner.build()
    return learner


def data(*samples: TransitionSample, steps: int = 1, env_steps: int = 0) -> ReplayData:
    """One learner's draw of each sample, for gradient steps that are all due after some environment steps."""
    return ReplayData(draws=[[Here(sample) for sample in samples]], due=np.full(steps, env_steps))


def make_steps(learner: Any, *samples: TransitionSample, steps: int = 1, env_steps: int = 0) -> Ratings:
    """Some gradient steps on samples."""
    ratings: Ratings = learner.make_steps(
        data(*samples, steps=steps, env_steps=env_steps), {"num_env_steps_sampled_lifetime": env_steps}
    )
    return ratings


def report(learner: Any) -> dict[str, float]:
    """What a learner tells of its steps, as plain numbers."""
    return {name: float(value.peek()) for name, value in learner.report()["default_policy"].items()}
