"""Receipt: what a worker says of a batch that it made, small enough to go through the algorithm's process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayrl.rollout.episodes import FinishedEpisodes


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
    """

    producer: int
    epoch: int
    sequence: int
    lengths: NDArray[np.int64]
    policy_version: int
    episodes: FinishedEpisodes
    seconds: float
    env_failures: int

    @property
    def num_steps(self) -> int:
        """Rows of the batch."""
        return int(self.lengths.sum())
