"""Sampling experience: environment steps per second of one process, networks 256-256, one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import gymnasium as gym
import numpy as np
import torch

from rayrl.algorithms import PPOConfig
from rayrl.rollout.env_runner import ColumnarEnvRunner
from tests.benchmarks.contest import Contest, Contestant, timed
from tests.benchmarks.networks import BarePolicy
from tests.benchmarks.peers import rllib_ppo, sb3_ppo

HIDDEN = (256, 256)


def contest(env: str, num_envs: int, steps: int) -> Contest:
    """Everybody samples with the same number of sub-environments."""
    return Contest(
        unit="steps/s",
        rayrl=_rayrl(env, num_envs, steps),
        limit=timed(steps, bare_rollout(env, num_envs, steps, HIDDEN)),
        peers={"rllib": _rllib(env, num_envs, steps), "sb3": _sb3(env, num_envs, steps)},
        goals={"limit": 0.7} | ({"sb3": 1.5} if num_envs == 8 else {}),
    )


ROWS = {
    "rollout/CartPole-v1/1": partial(contest, "CartPole-v1", 1, 4_096),
    "rollout/CartPole-v1/8": partial(contest, "CartPole-v1", 8, 16_384),
    "rollout/CartPole-v1/64": partial(contest, "CartPole-v1", 64, 65_536),
    "rollout/HalfCheetah-v5/8": partial(contest, "HalfCheetah-v5", 8, 8_192),
}


def bare_rollout(env: str, num_envs: int, steps: int, hidden: Sequence[int]) -> Callable[[], None]:
    """Environment, network, sampling an action, and nothing else; nothing is kept."""
    native = gym.spec(env).vector_entry_point is not None
    vector = gym.make_vec(env, num_envs, "vector_entry_point" if native else "sync")
    policy = BarePolicy(vector.single_observation_space, vector.single_action_space, hidden)
    observations = vector.reset(seed=0)[0]

    @torch.inference_mode()
    def run() -> None:
        nonlocal observations
        for _ in range(steps // num_envs):
            actions = policy.act(torch.from_numpy(observations.astype(np.float32, copy=False)))
            observations = vector.step(actions.numpy())[0]

    return run


def _rayrl(env: str, num_envs: int, steps: int) -> Contestant:
    config = PPOConfig().environment(env).env_runners(num_envs_per_env_runner=num_envs)
    runner = ColumnarEnvRunner(config=config, worker_index=0)
    return timed(steps, lambda: runner.sample(num_timesteps=steps))


def _rllib(env: str, num_envs: int, steps: int) -> Contestant:
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    runner = SingleAgentEnvRunner(config=rllib_ppo(env, num_envs, HIDDEN), worker_index=0)
    return timed(steps // 4, lambda: runner.sample(num_timesteps=steps // 4))


def _sb3(env: str, num_envs: int, steps: int) -> Contestant:
    rollout = steps // 4
    ppo = sb3_ppo(env, num_envs, HIDDEN, n_steps=rollout // num_envs)
    _, callback = ppo._setup_learn(10**9)

    def sample() -> None:
        ppo.collect_rollouts(ppo.env, callback, ppo.rollout_buffer, n_rollout_steps=rollout // num_envs)

    return timed(rollout, sample)
