"""What a partition keeps beside its rows: blocks in order, open episodes, who was added, what goes next."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.batch import Form
from rayrl.experience.columns import BatchSpecs
from rayrl.experience.replay.open_block import OpenBlock
from rayrl.experience.replay.open_episodes import OpenEpisodes
from rayrl.experience.replay.options import PartitionOptions
from rayrl.experience.replay.producers import Producers


@dataclass(slots=True)
class Counters:
    """What has happened to a partition since it was made.

    Args:
        steps_added: steps taken in.
        steps_evicted: of these, steps that have gone.
        steps_refused: steps that a reservoir did not take in.
        trajectories_added: trajectories begun.
        trajectories_evicted: of these, trajectories of which no step is left.
        duplicates: trajectories of batches that were added before, and were passed over.
    """

    steps_added: int = 0
    steps_evicted: int = 0
    steps_refused: int = 0
    trajectories_added: int = 0
    trajectories_evicted: int = 0
    duplicates: int = 0

    @property
    def steps(self) -> int:
        """Live steps."""
        return self.steps_added - self.steps_evicted

    @property
    def trajectories(self) -> int:
        """Live trajectories."""
        return self.trajectories_added - self.trajectories_evicted


class Partition:
    """One partition of a buffer.

    Args:
        name: its name.
        code: its number within the buffer.
        options: capacity and eviction.

    Attributes:
        specs: what its batches look like, once there was one.
        form: of a batch that was found to look like them.
        counters: what has happened to it.
        producers: which batches were added.
        blocks: entries of its blocks, oldest first.
        open_block: the block that is being filled, the last of ``blocks``.
        spare: the columns of one that was filled, and is elsewhere now, for the next one.
        tail: of a partition that evicts step by step, the offset in the oldest block before which all are
            gone.
        reserved: number of the block that is begun next, where that is settled.
        threshold: of a reservoir, the lowest key that was turned away; 1 before any was.
        open_episodes: trajectories that may go on.
    """

    def __init__(self, name: str, code: int, options: PartitionOptions) -> None:
        self.name = name
        self.code = code
        self.options = options
        self.specs: BatchSpecs | None = None
        self.form: Form | None = None
        self.counters = Counters()
        self.producers = Producers()
        self.blocks: deque[int] = deque()
        self.open_block: OpenBlock | None = None
        self.spare: OpenBlock | None = None
        self.tail = 0
        self.reserved: int | None = None
        self.threshold = 1.0
        self.open_episodes = OpenEpisodes()
        self._oldest: deque[int] = deque()
        self._highest: list[tuple[float, int]] = []

    @property
    def by_steps(self) -> bool:
        """Whether the oldest steps go one by one, not whole trajectories."""
        return self.options.eviction == "fifo" and self.options.unit == "steps"

    @property
    def excess(self) -> int:
        """Steps or trajectories held beyond the capacity."""
        capacity = self.options.capacity
        if capacity is None:
            return 0
        held = self.counters.steps if self.options.unit == "steps" else self.counters.trajectories
        return max(0, held - capacity)

    @property
    def over_full(self) -> bool:
        """Whether something has to go: what is too much, or of an episode that a reservoir turned away."""
        return self.excess > 0 or (bool(self._highest) and -self._highest[0][0] >= self.threshold)

    def begun(self, trajectories: NDArray[np.int32], keys: NDArray[np.float64]) -> None:
        """Notes new trajectories, ``(n,)``, with their keys in [0, 1), which tell what a reservoir keeps."""
        self.counters.trajectories_added += len(trajectories)
        if self.options.eviction == "reservoir":
            for key, trajectory in zip(keys.tolist(), trajectories.tolist(), strict=True):
                heapq.heappush(self._highest, (-key, trajectory))
        elif self.options.eviction == "fifo" and not self.by_steps:
            self._oldest.extend(trajectories.tolist())

    def next_to_go(self) -> int:
        """The trajectory to evict next.

        Of a reservoir, the one with the highest key: what stays is then a uniform sample of all that came,
        and whoever comes later with a higher key is turned away.
        """
        if self.options.eviction == "reservoir":
            return self._highest[0][1]
        return self._oldest[0]

    def gone(self, trajectories: NDArray[np.int32]) -> None:
        """Notes that no step of some trajectories ``(n,)`` is left."""
        self.counters.trajectories_evicted += len(trajectories)
        self.open_episodes.close(trajectories)

    def remove_next(self) -> None:
        """Takes the trajectory that ``next_to_go`` named out of the order."""
        if self.options.eviction == "reservoir":
            # After a restore, what goes again had gone before later ones lowered the threshold.
            self.threshold = min(self.threshold, -heapq.heappop(self._highest)[0])
        else:
            self._oldest.popleft()
