"""ExperienceData: RLlib's training data, made of references to TrajectoryBatches.

The algorithm's process never opens the batches: it plans, from the receipts' lengths, which trajectories go
to which learner, and each learner fetches only the batches that hold its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.rllib.core.learner.training_data import TrainingData

from rayrl.errors import TrainingError
from rayrl.experience.batch import TrajectoryBatch


@dataclass(frozen=True, slots=True)
class Part:
    """Some consecutive trajectories of one batch.

    Args:
        batch: the batch, or a reference to it.
        lengths: int64 ``(trajectories,)`` steps of each trajectory of the whole batch.
        start: first trajectory of the part.
        stop: one past the last.
    """

    batch: TrajectoryBatch | ray.ObjectRef
    lengths: NDArray[np.int64]
    start: int
    stop: int

    @classmethod
    def whole(cls, batch: TrajectoryBatch | ray.ObjectRef, lengths: NDArray[np.int64]) -> Part:
        """All trajectories of a batch."""
        return cls(batch, lengths, 0, len(lengths))


@dataclass
class ExperienceData(TrainingData):
    """Trajectories to learn from, in order.

    Args:
        parts: where they are; empty once ``solve_refs`` has run.
        trajectories: what they are; set by ``solve_refs``.
    """

    parts: list[Part] = field(default_factory=list)
    trajectories: TrajectoryBatch | None = None

    def validate(self) -> None:
        """Checks that there is something to learn from.

        Raises:
            TrainingError: there is nothing.
        """
        if not self.parts and self.trajectories is None:
            raise TrainingError("an update was given no experience")

    def shard(self, num_shards: int, **kwargs: Any) -> list[tuple[ExperienceData, dict[str, Any]]]:
        """Cuts the trajectories, in order, into shards of nearly equal rows for RLlib's learner group."""
        return [(ExperienceData(parts=parts), {}) for parts in shard_parts(self.parts, num_shards)]

    def solve_refs(self) -> None:
        """Fetches the batches and joins their parts."""
        self.fetch()

    def fetch(self) -> TrajectoryBatch:
        """The trajectories, fetched and joined at the first call."""
        if self.trajectories is not None:
            return self.trajectories
        batches = ray.get([part.batch for part in self.parts if isinstance(part.batch, ray.ObjectRef)])
        fetched = iter(batches)
        slices = []
        for part in self.parts:
            batch = next(fetched) if isinstance(part.batch, ray.ObjectRef) else part.batch
            slices.append(batch.slice(part.start, part.stop))
        self.trajectories = TrajectoryBatch.concat(slices)
        self.parts = []
        return self.trajectories


def shard_parts(parts: Sequence[Part], shards: int) -> list[list[Part]]:
    """Cuts the trajectories of several batches, in order, into shards of nearly equal rows.

    A shard for which there is no trajectory gets an empty part, which still tells its columns.
    """
    lengths = np.concatenate([part.lengths[part.start : part.stop] for part in parts])
    # Only offsets matter for the cut; the rows themselves are elsewhere.
    plan = TrajectoryBatch({}, np.append(0, np.cumsum(lengths)), {}).split_by_rows(shards)
    bounds = np.append(0, np.cumsum([shard.num_trajectories for shard in plan]))
    starts = np.append(0, np.cumsum([part.stop - part.start for part in parts]))
    result = []
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        mine = []
        for part, start, stop in zip(parts, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            a, b = max(first, start), min(last, stop)
            if a < b:
                mine.append(Part(part.batch, part.lengths, part.start + a - start, part.start + b - start))
        result.append(mine or [Part(parts[0].batch, parts[0].lengths, 0, 0)])
    return result
