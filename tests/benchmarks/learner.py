"""PPO's update: gradient steps per second, CartPole-v1, minibatches of 256, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from ray.rllib.core.learner.training_data import TrainingData

from rayrl.algorithms import PPOConfig
from rayrl.algorithms.experience_data import ExperienceData, Part
from rayrl.experience.batch import TrajectoryBatch
from rayrl.rollout.env_runner import ColumnarEnvRunner
from tests.benchmarks.contest import Contest, Contestant, timed
from tests.benchmarks.networks import mlp
from tests.benchmarks.options import BATCH, ENV, EPOCHS, MINIBATCH, NUM_ENVS
from tests.benchmarks.peers import rllib_ppo

STEPS = EPOCHS * BATCH // MINIBATCH


def contest(hidden: Sequence[int]) -> Contest:
    """Everybody learns from 2,048 rows of its own format, again and again."""
    return Contest(
        unit="gradient steps/s",
        rayrl=_rayrl(hidden),
        limit=timed(STEPS, bare_update(hidden, EPOCHS, MINIBATCH)),
        peers={"rllib": _rllib(hidden)},
        goals={"limit": 1 / 1.15},
    )


ROWS = {
    "learner/256-256": partial(contest, (256, 256)),
    "learner/64-64": partial(contest, (64, 64)),
}


def bare_update(hidden: Sequence[int], epochs: int, minibatch: int) -> Callable[[], None]:
    """What no PPO can leave out: shuffle, two networks, the loss, the gradient, clipping, Adam.

    No advantages, no statistics, no metrics.
    """
    policy, value = mlp(4, hidden, 2), mlp(4, hidden, 1)
    parameters = [*policy.parameters(), *value.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-4, fused=True)
    rng = np.random.default_rng(0)
    observations = torch.from_numpy(rng.standard_normal((BATCH, 4), dtype=np.float32))
    actions = torch.from_numpy(rng.integers(0, 2, BATCH))
    advantages = torch.from_numpy(rng.standard_normal(BATCH, dtype=np.float32))
    targets = torch.from_numpy(rng.standard_normal(BATCH, dtype=np.float32))
    old_logp = torch.full((BATCH,), float(np.log(0.5)))

    def update() -> None:
        for _ in range(epochs):
            for rows in torch.randperm(BATCH).split(minibatch):
                obs, adv = observations[rows], advantages[rows]
                logp_all = policy(obs).log_softmax(-1)
                logp = logp_all.gather(-1, actions[rows].unsqueeze(-1)).squeeze(-1)
                ratio = (logp - old_logp[rows]).exp()
                surrogate = torch.minimum(ratio * adv, ratio.clamp(0.8, 1.2) * adv).mean()
                vf_loss = (value(obs).squeeze(-1) - targets[rows]).square().mean()
                loss = 0.5 * vf_loss - surrogate
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()

    return update


def _rayrl(hidden: Sequence[int]) -> Contestant:
    config = rayrl_ppo(hidden)
    runner = ColumnarEnvRunner(config=config, worker_index=0)
    receipt, batch = runner.sample(num_timesteps=BATCH)
    learner = config.build_learner(spaces=runner.get_spaces())
    learner.build()
    data = _experience(batch, receipt.lengths)
    return timed(STEPS, lambda: learner.update(training_data=data, timesteps={}))


def rayrl_ppo(hidden: Sequence[int], *, epochs: int = EPOCHS, minibatch: int = MINIBATCH) -> PPOConfig:
    """Rayrl's PPO in one process."""
    return (
        PPOConfig()
        .environment(ENV)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=NUM_ENVS)
        .learners(num_learners=0)
        .rl_module(model_config={"fcnet_hiddens": list(hidden)})
        .training(train_batch_size_per_learner=BATCH, minibatch_size=minibatch, num_epochs=epochs)
    )


def _experience(batch: TrajectoryBatch, lengths: np.ndarray) -> ExperienceData:
    return ExperienceData(parts=[Part.whole(batch, lengths)])


def _rllib(hidden: Sequence[int]) -> Contestant:
    algorithm = rllib_ppo(ENV, NUM_ENVS, hidden).build_algo()
    config = algorithm.config

    def run() -> float:
        episodes = algorithm.env_runner.sample(num_timesteps=BATCH)  # an update changes them: no second use
        started = time.perf_counter()
        algorithm.learner_group.update(
            training_data=TrainingData(episodes=episodes),
            timesteps={"num_env_steps_sampled_lifetime": 0},
            num_epochs=config.num_epochs,
            minibatch_size=config.minibatch_size,
            shuffle_batch_per_epoch=True,
        )
        return STEPS / (time.perf_counter() - started)

    return run
