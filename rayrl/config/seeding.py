"""Counter-based randomness: a generator is named by what it is for, never carried along as state."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Role(IntEnum):
    """What a generator is for; two roles never share a stream."""

    environment = 1
    rollout = 2
    learner = 3
    initialization = 4
    demonstration = 5
    evaluation = 6
    pretraining = 7
    replay = 8
    comparison = 12


def generator(seed: int, role: Role, rank: int = 0, iteration: int = 0) -> np.random.Generator:
    """The generator of one role, at one rank, in one iteration.

    The same four numbers give the same stream on every machine, so a resumed run needs no random state.

    Args:
        seed: seed of the run, >= 0.
        role: what the numbers are for.
        rank: index of the worker or learner.
        iteration: how often this rank has drawn in this role.
    """
    return np.random.default_rng(_sequence(seed, role, rank, iteration))


def environment_seed(seed: int, role: Role, rank: int = 0, iteration: int = 0) -> int:
    """A seed for ``env.reset``, below 2³¹; sub-environment i takes it plus i, as Gymnasium does."""
    return int(_sequence(seed, role, rank, iteration).generate_state(1)[0] >> 1)


def _sequence(seed: int, role: Role, rank: int, iteration: int) -> np.random.SeedSequence:
    return np.random.SeedSequence((seed, int(role), rank, iteration))
