"""The same PPO in RLlib and in Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import torch
from ray.rllib.algorithms import ppo as rllib

from tests.benchmarks.options import BATCH, EPOCHS, MINIBATCH


def rllib_ppo(
    env: str, num_envs: int, hidden: Sequence[int], *, epochs: int = EPOCHS, minibatch: int = MINIBATCH
) -> rllib.PPOConfig:
    """RLlib's PPO in one process, with the environment's own vectorization where it has one."""
    native = gym.spec(env).vector_entry_point is not None
    return (
        rllib.PPOConfig()
        .environment(env)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=num_envs,
            gym_env_vectorize_mode="vector_entry_point" if native else "sync",
        )
        .learners(num_learners=0)
        .rl_module(model_config={"fcnet_hiddens": list(hidden), "vf_share_layers": False})
        .training(
            train_batch_size_per_learner=BATCH,
            minibatch_size=minibatch,
            num_epochs=epochs,
            lr=3e-4,
            lambda_=0.95,
            clip_param=0.2,
            vf_loss_coeff=0.5,
            grad_clip=0.5,
            use_kl_loss=False,
        )
    )


def sb3_ppo(
    env: str,
    num_envs: int,
    hidden: Sequence[int],
    *,
    n_steps: int,
    epochs: int = EPOCHS,
    minibatch: int = MINIBATCH,
) -> Any:
    """SB3's PPO; its environments step one after the other in this process, the fastest of its ways."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    return PPO(
        "MlpPolicy",
        make_vec_env(env, num_envs),
        learning_rate=3e-4,
        n_steps=n_steps,
        batch_size=minibatch,
        n_epochs=epochs,
        policy_kwargs={
            "net_arch": {"pi": list(hidden), "vf": list(hidden)},
            "activation_fn": torch.nn.Tanh,
        },
        device="cpu",
        seed=0,
    )
