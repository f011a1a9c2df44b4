"""SAC and DQN from end to end: gradient steps per second of training, at equal hyperparameters.

Sampling, adding to replay, drawing and learning, in one process with one thread and one environment.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ray.rllib.algorithms.dqn import dqn as rllib_dqn
from ray.rllib.algorithms.sac import sac as rllib_sac

from rayrl.algorithms import DQNConfig, SACConfig
from rayrl.algorithms.config import ColumnarConfig
from tests.benchmarks.contest import Contest, Contestant, timed

HIDDEN = [256, 256]
RELU = {"fcnet_hiddens": HIDDEN, "fcnet_activation": "relu"}
LEARNING_STARTS = 256
SAC_STEPS, DQN_STEPS = 256, 1024
"""Environment steps of a round: SAC makes a gradient step for each, DQN for every fourth."""
RLLIB_SHARE = 8
"""RLlib makes so many times fewer steps in a round, since it would take minutes otherwise."""


def sac_contest() -> Contest:
    """Pendulum-v1, minibatches of 256 uniform draws, twin critics."""
    rayrl = SACConfig().environment("Pendulum-v1").rl_module(model_config=RELU).replay(capacity=100_000)
    rllib = rllib_sac.SACConfig().environment("Pendulum-v1").rl_module(model_config=RELU)
    rllib.training(actor_lr=3e-4, replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": 100_000})
    return Contest(
        unit="gradient steps/s",
        rayrl=_rayrl(rayrl, SAC_STEPS, SAC_STEPS),
        peers={
            "rllib": _rllib(rllib, SAC_STEPS // RLLIB_SHARE, SAC_STEPS // RLLIB_SHARE),
            "sb3": _sb3("SAC", "Pendulum-v1", SAC_STEPS, SAC_STEPS, batch_size=256),
        },
        goals={"rllib": 3.0, "sb3": 1.0},
    )


def dqn_contest() -> Contest:
    """CartPole-v1, minibatches of 64 uniform draws; neither double nor dueling, since SB3 has neither."""
    plain = {"double_q": False, "dueling": False, "train_batch_size_per_learner": 64, "lr": 5e-4}
    rayrl = DQNConfig().environment("CartPole-v1").rl_module(model_config=RELU)
    rayrl.training(**plain).replay(capacity=50_000, sampler="uniform")
    rllib = rllib_dqn.DQNConfig().environment("CartPole-v1").env_runners(rollout_fragment_length=4)
    rllib.rl_module(model_config={**RELU, "head_fcnet_hiddens": []})
    rllib.training(**plain, replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": 50_000})
    return Contest(
        unit="gradient steps/s",
        rayrl=_rayrl(rayrl, DQN_STEPS, DQN_STEPS // 4),
        peers={
            "rllib": _rllib(rllib, DQN_STEPS // RLLIB_SHARE, DQN_STEPS // 4 // RLLIB_SHARE),
            "sb3": _sb3("DQN", "CartPole-v1", DQN_STEPS, DQN_STEPS // 4, batch_size=64, train_freq=4),
        },
        goals={"rllib": 3.0, "sb3": 1.0},
    )


ROWS = {"offpolicy/sac": partial(sac_contest), "offpolicy/dqn": partial(dqn_contest)}


def _rayrl(config: ColumnarConfig, steps: int, gradient_steps: int) -> Contestant:
    return _trained(_one_process(config, steps), steps, gradient_steps)


def _rllib(config: Any, steps: int, gradient_steps: int) -> Contestant:
    return _trained(_one_process(config.reporting(min_time_s_per_iteration=0), steps), steps, gradient_steps)


def _one_process(config: Any, steps: int) -> Any:
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=1).learners(num_learners=0)
    config.training(num_steps_sampled_before_learning_starts=LEARNING_STARTS)
    config.debugging(log_level="ERROR").reporting(min_sample_timesteps_per_iteration=steps)
    return config.build_algo()


def _trained(algorithm: Any, steps: int, gradient_steps: int) -> Contestant:
    for _ in range(LEARNING_STARTS // steps + 1):  # until every step is learned from
        algorithm.train()
    return timed(gradient_steps, algorithm.train)


def _sb3(name: str, env: str, steps: int, gradient_steps: int, **options: Any) -> Contestant:
    import stable_baselines3
    import torch

    policy = {"net_arch": HIDDEN, "activation_fn": torch.nn.ReLU}
    model = getattr(stable_baselines3, name)(
        "MlpPolicy",
        env,
        buffer_size=50_000,
        learning_starts=LEARNING_STARTS,
        policy_kwargs=policy,
        device="cpu",
        seed=0,
        **options,
    )
    model.learn(LEARNING_STARTS)
    return timed(gradient_steps, lambda: model.learn(steps, reset_num_timesteps=False))
