"""The mine maze's simulation: steps per second of one core, random actions and new levels included."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rayrl.rollout.vector_env import make_vector_env
from tests.benchmarks.contest import Contest, timed

STEPS = 32_768
NUM_ENVS = 32


def contest(at_least: int, **config: Any) -> Contest:
    """Alone: there is no other simulation of this environment."""
    return Contest(unit="steps/s", rayrl=timed(STEPS, _simulate(config)), at_least=at_least)


ROWS = {
    "maze/state": partial(contest, 100_000, observations=["game_state"]),
    "maze/everything": partial(contest, 5_000),
    "maze/everything_complex": partial(contest, 5_000, categories={"complex": 1}),
}


def _simulate(config: dict[str, Any]) -> Callable[[], None]:
    env = make_vector_env("rayrl/MineMaze-v0", config, NUM_ENVS)
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 5, (STEPS // NUM_ENVS, NUM_ENVS))

    def simulate() -> None:
        for action in actions:
            env.step(action)

    return simulate
