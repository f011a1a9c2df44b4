"""Learners without Ray, and trajectories for them."""

import os
import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from rayrl.algorithms.collective import rank
from rayrl.algorithms.device_columns import parts_of
from rayrl.algorithms.experience_data import ExperienceData, Part
from rayrl.algorithms.ppo import PPOConfig
from rayrl.algorithms.ppo.learner import PPOLearner
from rayrl.algorithms.shuffling import sequences_of
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import offsets_of

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = gym.spaces.Discrete(2)
SMALL = {"fcnet_hiddens": [8]}


def ppo_config(model_config: dict[str, Any] | None = None, **training: Any) -> PPOConfig:
    """Small networks and batches."""
    config = PPOConfig().rl_module(model_config=SMALL | (model_config or {}))
    return config.training(**{"train_batch_size_per_learner": 64, "minibatch_size": 16, **training})


def build(config: PPOConfig, action_space: gym.Space[Any] = ACTIONS) -> PPOLearner:
    """A learner in this process."""
    torch.manual_seed(config.seed)
    learner = config.build_learner(spaces={"default_policy": (OBSERVATION, action_space)})
    learner.build()
    return learner


def trajectories(lengths: list[int], seed: int = 0) -> TrajectoryBatch:
    """Random observations and rewards; actions by a uniform policy; every other trajectory terminates."""
    rng = np.random.default_rng(seed)
    n, rows = len(lengths), sum(lengths)
    over = np.arange(n) % 2 == 0
    return TrajectoryBatch(
        {
            "obs": 3 + rng.standard_normal((rows, 3), dtype=np.float32),
            "actions": rng.integers(0, 2, rows),
            "action_logp": np.full(rows, np.log(0.5), np.float32),
            "action_dist_inputs": np.zeros((rows, 2), np.float32),
            "rewards": rng.standard_normal(rows, dtype=np.float32),
        },
        offsets_of(np.array(lengths)),
        {
            "final_obs": 3 + rng.standard_normal((n, 3), dtype=np.float32),
            "terminated": over,
            "truncated": ~over,
        },
    )


def part(batch: TrajectoryBatch) -> Part:
    return Part.whole(batch, batch.lengths)


def update(learner: PPOLearner, batch: TrajectoryBatch, env_steps: int = 0) -> dict[str, float]:
    """One update; its results as plain numbers."""
    results = learner.update(
        training_data=ExperienceData(parts=[part(batch)]),
        timesteps={"num_env_steps_sampled_lifetime": env_steps},
    )
    return {name: float(value.peek()) for name, value in results["default_policy"].items()}


def assert_same(a: Any, b: Any, path: str = "") -> None:
    """Checks that two states hold the same bits."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}/{i}")
    elif isinstance(a, np.ndarray | torch.Tensor):
        x, y = np.asarray(a), np.asarray(b)
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()), path
    else:
        assert a == b or (a != a and b != b), (path, a, b)


class InOrder(PPOLearner):
    """Takes the rows as they come."""

    def order(self, rows: int, numbers: np.random.Generator) -> Any:
        return np.arange(rows)


class UnionsOfParts(PPOLearner):
    """Takes as minibatch m the m-th part of each of two shards of 48 and 16 rows, in 4 parts."""

    def order(self, rows: int, numbers: np.random.Generator) -> Any:
        return np.concatenate([np.r_[12 * m : 12 * m + 12, 48 + 4 * m : 48 + 4 * m + 4] for m in range(4)])


class Hanging(PPOLearner):
    """The second of two learners never finishes."""

    def prepare(self, batch: TrajectoryBatch) -> Any:
        if rank() == 1:
            time.sleep(600)
        return super().prepare(batch)


class Raising(PPOLearner):
    """The second of two learners raises, while the first waits for it."""

    def prepare(self, batch: TrajectoryBatch) -> Any:
        if rank() == 1:
            raise ValueError("out of paper")
        return super().prepare(batch)


class Dying(PPOLearner):
    """The second of two learners dies, while the first waits for it."""

    def prepare(self, batch: TrajectoryBatch) -> Any:
        if rank() == 1:
            os._exit(1)
        return super().prepare(batch)


class FirstRatios(PPOLearner):
    """Notes the ratios of each update's first minibatch."""

    def build(self) -> None:
        super().build()
        self.first_ratios: list[float] = []

    def learn(self, training_data: Any) -> Any:
        self._noted = False
        return super().learn(training_data)

    def loss(self, minibatch: Any) -> Any:
        if not self._noted:
            self._noted = True
            with torch.no_grad():
                parts = parts_of(minibatch)
                inputs = self.policy.policy(parts, sequences_of(minibatch))
                if "temperature" in minibatch:
                    inputs = self.policy.distribution.tempered(inputs, minibatch["temperature"])
                logp = self.policy.distribution.logp(inputs, minibatch["actions"])
            self.first_ratios += torch.exp(logp - minibatch["action_logp"]).tolist()
        return super().loss(minibatch)
