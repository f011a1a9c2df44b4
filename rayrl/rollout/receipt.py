"""Receipt: what a worker says of a batch that it made, small enough to go through the algorithm's process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rayrl.experience.ragged import Column
from rayrl.rollout.episodes import FinishedEpisodes
from rayrl.rollout.signals import Signals

MOST_COUNTED = 64
"""Of more actions than this, shares would tell nothing that one could look at."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Describes one batch, which itself stays where it was made.

    Args:
        producer: index of the worker.
        epoch: how often the worker has been restarted.
        sequence: number of the batch within the epoch.
        lengths: int64 ``(trajectories,)`` steps of each trajectory.
        policy_version: version of the policy that acted.
        episodes: the episodes that ended in the batch.
        seconds: how long collecting took.
        env_failures: how often the environment raised meanwhile.
        action_counts: int64 ``(n,)`` how often each of n discrete actions was taken; None of other actions.
        signals: what the environment told of itself, where that was asked for.
    """

    producer: int
    epoch: int
    sequence: int
    lengths: NDArray[np.int64]
    policy_version: int
    episodes: FinishedEpisodes
    seconds: float
    env_failures: int
    action_counts: NDArray[np.int64] | None = None
    signals: Signals = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        """Rows of the batch."""
        return int(self.lengths.sum())


def count_actions(space: gym.Space[Any], actions: Column) -> NDArray[np.int64] | None:
    """How often each action of a Discrete space with at most ``MOST_COUNTED`` of them was taken, ``(n,)``."""
    if not isinstance(space, gym.spaces.Discrete) or space.n > MOST_COUNTED:
        return None
    return np.bincount(np.asarray(actions) - space.start, minlength=int(space.n))
