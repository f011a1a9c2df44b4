"""Lanes: dealing episodes to shards so that each keeps to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch


@dataclass(frozen=True, slots=True)
class Lanes:
    """A part of a batch: the episodes on some of its lanes, of which each episode keeps to one.

    Args:
        count: lanes in all.
        taken: those that are meant.
    """

    count: int
    taken: tuple[int, ...]

    def of(self, batch: TrajectoryBatch) -> TrajectoryBatch:
        """The trajectories on these lanes."""
        if len(self.taken) == self.count:
            return batch
        lane = lane_of(batch.trajectory_columns[c.EPISODE_ID], self.count)
        return batch.select(np.flatnonzero(np.isin(lane, self.taken)))


def lane_of(episode_ids: Any, lanes: int) -> NDArray[np.int64]:
    """``(n,)`` lanes of episodes, by their ids ``(n, 2)``.

    Ids of rayrl's workers end in a sub-environment's number (24 bits) and that of its episode (40 bits). With
    the sum of both, neighbouring sub-environments are on different lanes, and so are the episodes that follow
    each other in one: lanes fill evenly with one sub-environment and with many.
    """
    ids = np.asarray(episode_ids, np.uint64)
    slot, number = ids[:, 1] >> np.uint64(40), ids[:, 1] & np.uint64((1 << 40) - 1)
    lane: NDArray[np.int64] = ((slot + number) % np.uint64(lanes)).astype(np.int64)
    return lane
