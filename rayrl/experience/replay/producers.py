"""Which batches of which producers were added already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch

Watermark = tuple[int, int]
"""Epoch and sequence of the newest batch of a producer."""


class Producers:
    """Tells batches that are new from those that were added before.

    A producer's batches come in the order of their epochs, and within an epoch of their sequence numbers; so
    a batch is new if it is past the newest one. A worker that is restarted has a higher epoch.

    Attributes:
        watermarks: of each producer.
    """

    def __init__(self) -> None:
        self.watermarks: dict[int, Watermark] = {}

    def new(self, batch: TrajectoryBatch) -> NDArray[np.bool_]:
        """``(trajectories,)`` which trajectories are of batches not added before.

        Where the batch has no columns ``producer``, ``epoch`` and ``sequence``, all of them are.
        """
        new = np.ones(batch.num_trajectories, np.bool_)
        for producer, epoch, sequence, members in self._batches(batch):
            new[members] = (epoch, sequence) > self.watermarks.get(producer, (-1, -1))
        return new

    def advance(self, batch: TrajectoryBatch) -> None:
        """Remembers that a batch was added."""
        for producer, epoch, sequence, _ in self._batches(batch):
            mark = self.watermarks.get(producer, (-1, -1))
            self.watermarks[producer] = max(mark, (epoch, sequence))

    def _batches(self, batch: TrajectoryBatch) -> list[tuple[int, int, int, Any]]:
        found: Any = [batch.trajectory_columns.get(name) for name in (c.PRODUCER, c.EPOCH, c.SEQUENCE)]
        if any(column is None for column in found) or batch.num_trajectories == 0:
            return []
        if all((column == column[0]).all() for column in found):
            producer, epoch, sequence = (int(column[0]) for column in found)
            return [(producer, epoch, sequence, slice(None))]
        origins, members = np.unique(np.stack(found, 1).astype(np.int64), axis=0, return_inverse=True)
        return [
            (producer, epoch, sequence, members.reshape(-1) == i)
            for i, (producer, epoch, sequence) in enumerate(origins.tolist())
        ]
