"""The router's simulation: decisions per second of one core."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from rayrl.rollout.vector_env import make_vector_env
from tests.benchmarks.contest import Contest, timed

CONFIG = {"replicas": 4, "arrivals": "poisson", "target_load": 0.85, "requests": 512}
DECISIONS = 65_536


def contest(num_envs: int) -> Contest:
    """Alone: there is no other simulation of this environment."""
    return Contest(unit="decisions/s", rayrl=timed(DECISIONS, _simulate(num_envs)), at_least=50_000)


ROWS = {"router/decisions": partial(contest, 16)}


def _simulate(num_envs: int) -> Callable[[], None]:
    env = make_vector_env("rayrl/Router-v0", CONFIG, num_envs)
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, CONFIG["replicas"], (DECISIONS // num_envs, num_envs))

    def simulate() -> None:
        for action in actions:
            env.step(action)

    return simulate
