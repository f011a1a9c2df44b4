"""Which shard a producer's batches go to."""

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


class Routing:
    """Where batches go: each producer keeps to one shard, ``producer % shards``.

    Where there are fewer producers than shards each batch is dealt to all shards by lanes, and each episode
    keeps to one shard. What would go to a shard that is gone goes to one of the others instead, and no other
    producer or lane moves.

    Args:
        shards: number of shards.
        producers: number of producers.
    """

    def __init__(self, shards: int, producers: int) -> None:
        self.shards = shards
        self.deals = producers < shards
        self._alive = list(range(shards))

    def remove(self, shard: int) -> None:
        """Notes that a shard is gone."""
        self._alive.remove(shard)

    def targets(self, producer: int) -> dict[int, Lanes | None]:
        """The shards that a producer's batch goes to, and which lanes of it each gets; None: all of it."""
        if not self.deals:
            return {self.home(producer): None}
        taken: dict[int, tuple[int, ...]] = {}
        for lane in range(self.shards):
            home = self.home(lane)
            taken[home] = (*taken.get(home, ()), lane)
        return {shard: Lanes(self.shards, lanes) for shard, lanes in taken.items()}

    def home(self, number: int) -> int:
        """The shard of a producer, or of a lane."""
        shard = number % self.shards
        return shard if shard in self._alive else self._alive[number % len(self._alive)]
