"""PPO from end to end: environment steps per second of training, CartPole-v1, batches of 2,048 steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from tests.benchmarks.contest import Contest, Contestant, timed
from tests.benchmarks.learner import bare_update, rayrl_ppo
from tests.benchmarks.options import BATCH, ENV, EPOCHS, MINIBATCH, NUM_ENVS
from tests.benchmarks.peers import rllib_ppo, sb3_ppo
from tests.benchmarks.rollout import bare_rollout

ITERATIONS = 3
"""Train batches of one round."""


@dataclass(frozen=True)
class Work:
    """What an iteration consists of."""

    hidden: Sequence[int] = (256, 256)
    epochs: int = EPOCHS
    minibatch: int = MINIBATCH


def contest(work: Work, goals: dict[str, float], threads: int = 1) -> Contest:
    """All in one process; rayrl with as many threads as given, everybody else with one.

    The limit is a bare rollout and a bare update, one after the other.
    """
    return Contest(
        unit="steps/s",
        rayrl=_threads(threads, _rayrl(work)),
        limit=_bare(work),
        peers={"rllib": _rllib(work), "sb3": _sb3(work)},
        goals=goals,
    )


ROWS = {
    "ppo/256-256": partial(contest, Work(), {"rllib": 1.5, "sb3": 1.1}),
    "ppo/64-64": partial(contest, Work(hidden=(64, 64)), {"rllib": 2.5, "sb3": 1.3}),
    "ppo/two-cores": partial(contest, Work(), {"sb3": 1.5}, threads=2),
    "ppo/rollout-bound": partial(contest, Work(epochs=1, minibatch=BATCH), {"rllib": 2.5}),
}


def _rayrl(work: Work) -> Contestant:
    algorithm = rayrl_ppo(work.hidden, epochs=work.epochs, minibatch=work.minibatch).build_algo()
    return _trained(algorithm)


def _rllib(work: Work) -> Contestant:
    config = rllib_ppo(ENV, NUM_ENVS, work.hidden, epochs=work.epochs, minibatch=work.minibatch)
    return _trained(config.build_algo())


def _trained(algorithm: Any) -> Contestant:
    def train() -> None:
        for _ in range(ITERATIONS):
            algorithm.train()

    return timed(ITERATIONS * BATCH, train)


def _sb3(work: Work) -> Contestant:
    ppo = sb3_ppo(
        ENV,
        NUM_ENVS,
        work.hidden,
        n_steps=BATCH // NUM_ENVS,
        epochs=work.epochs,
        minibatch=work.minibatch,
    )
    steps = ITERATIONS * BATCH
    return timed(steps, lambda: ppo.learn(steps, reset_num_timesteps=False))


def _bare(work: Work) -> Contestant:
    rollout = bare_rollout(ENV, NUM_ENVS, BATCH, work.hidden)
    update = bare_update(work.hidden, work.epochs, work.minibatch)

    def train() -> None:
        for _ in range(ITERATIONS):
            rollout()
            update()

    return timed(ITERATIONS * BATCH, train)


def _threads(count: int, contestant: Contestant) -> Contestant:
    def run() -> float:
        torch.set_num_threads(count)
        try:
            return contestant()
        finally:
            torch.set_num_threads(1)

    return run
