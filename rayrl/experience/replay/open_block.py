"""The block that a partition is filling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs, ColumnSpec
from rayrl.experience.ragged import Column, Ragged


class OpenBlock:
    """Columns into which batches are copied, in the order in which they come.

    Args:
        specs: what the batches hold.
        rows: rows that it has room for.

    Attributes:
        rows: rows that it has room for.
        used: rows filled.
        num_pieces: trajectories of the batches so far.
    """

    def __init__(self, specs: BatchSpecs, rows: int) -> None:
        self.rows = rows
        self.used = 0
        self.num_pieces = 0
        self._columns = {name: _growing(spec, rows) for name, spec in specs.columns.items()}
        self._trajectory_columns = {
            name: _growing(spec, 16) for name, spec in specs.trajectory_columns.items()
        }

    @property
    def room(self) -> int:
        """Rows left."""
        return self.rows - self.used

    @property
    def columns(self) -> dict[str, Column]:
        """What the step columns hold, as views."""
        return {name: column.filled() for name, column in self._columns.items()}

    @property
    def trajectory_columns(self) -> dict[str, Column]:
        """What the trajectory columns hold, as views; another append may move them."""
        return {name: column.filled() for name, column in self._trajectory_columns.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of what is filled."""
        held = [*self.columns.values(), *self.trajectory_columns.values()]
        return sum(column.nbytes for column in held)

    def append(self, batch: TrajectoryBatch) -> None:
        """Copies a batch of at most ``room`` steps behind what there is."""
        for name, column in batch.columns.items():
            self._columns[name].append(column)
        for name, column in batch.trajectory_columns.items():
            self._trajectory_columns[name].append(column)
        self.used += batch.num_steps
        self.num_pieces += batch.num_trajectories


class _GrowingArray:
    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], room: int) -> None:
        self._values = np.empty((room, *shape), dtype)
        self._used = 0

    def append(self, column: Any) -> None:
        end = self._used + len(column)
        if end > len(self._values):
            grown = np.empty((max(2 * len(self._values), end), *self._values.shape[1:]), self._values.dtype)
            grown[: self._used] = self._values[: self._used]
            self._values = grown
        self._values[self._used : end] = column
        self._used = end

    def filled(self) -> NDArray[Any]:
        return self._values[: self._used]


class _GrowingRagged:
    def __init__(self, spec: ColumnSpec, room: int) -> None:
        self._values = _GrowingArray(spec.shape, spec.dtype, room)
        self._offsets = _GrowingArray((), np.dtype(np.int64), room)
        self._offsets.append(np.zeros(1, np.int64))
        self._is_text = spec.kind == "text"

    def append(self, column: Any) -> None:
        end = self._offsets.filled()[-1]
        self._values.append(column.values)
        self._offsets.append(column.offsets[1:] + end)

    def filled(self) -> Ragged:
        return Ragged(self._values.filled(), self._offsets.filled(), self._is_text)


def _growing(spec: ColumnSpec, room: int) -> _GrowingArray | _GrowingRagged:
    return _GrowingArray(spec.shape, spec.dtype, room) if spec.kind == "array" else _GrowingRagged(spec, room)
