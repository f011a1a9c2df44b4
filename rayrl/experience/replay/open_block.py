"""The block that a partition is filling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs, ColumnSpec
from rayrl.experience.ragged import Column, Ragged
from rayrl.experience.replay.slabs import Empty


class OpenBlock:
    """Columns into which batches are copied, in the order in which they come.

    Args:
        specs: what the batches hold.
        rows: rows that it has room for.
        make: makes the arrays of the steps.

    Attributes:
        rows: rows that it has room for.
        used: rows filled.
        num_pieces: trajectories of the batches so far.
    """

    def __init__(self, specs: BatchSpecs, rows: int, make: Empty = np.empty) -> None:
        self.rows = rows
        self.used = 0
        self.num_pieces = 0
        self._columns = [(name, _growing(spec, rows, make)) for name, spec in specs.columns.items()]
        self._trajectory_columns = [
            (name, _growing(spec, 16)) for name, spec in specs.trajectory_columns.items()
        ]

    @property
    def room(self) -> int:
        """Rows left."""
        return self.rows - self.used

    @property
    def columns(self) -> dict[str, Column]:
        """The arrays, with their room, and what the ragged columns hold."""
        return {name: column.held() for name, column in self._all()}

    @property
    def nbytes(self) -> int:
        """Bytes of what is filled."""
        return sum(column.filled().nbytes for _, column in self._all())

    def append(self, batch: TrajectoryBatch) -> dict[str, Column]:
        """Copies a batch of at most ``room`` steps behind what there is; gives the columns that moved."""
        moved: dict[str, Column] = {}
        for held, given in (
            (self._columns, batch.columns),
            (self._trajectory_columns, batch.trajectory_columns),
        ):
            for name, column in held:
                if column.append(given[name]):
                    moved[name] = column.held()
        self.used += batch.num_steps
        self.num_pieces += batch.num_trajectories
        return moved

    def empty(self) -> None:
        """Lets go of what it holds, which is elsewhere now, to be filled again."""
        self.used = self.num_pieces = 0
        for _, column in self._all():
            column.empty()

    def _all(self) -> list[tuple[str, _GrowingArray | _GrowingRagged]]:
        return [*self._columns, *self._trajectory_columns]


class _GrowingArray:
    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], room: int, make: Empty = np.empty
    ) -> None:
        self._values = make((room, *shape), dtype)
        self._used = 0

    def append(self, column: Any) -> bool:
        """Whether the array had to move."""
        end = self._used + len(column)
        moves = end > len(self._values)
        if moves:
            grown = np.empty((max(2 * len(self._values), end), *self._values.shape[1:]), self._values.dtype)
            grown[: self._used] = self._values[: self._used]
            self._values = grown
        self._values[self._used : end] = column
        self._used = end
        return moves

    def empty(self) -> None:
        self._used = 0

    def held(self) -> NDArray[Any]:
        return self._values

    def filled(self) -> NDArray[Any]:
        return self._values[: self._used]


class _GrowingRagged:
    def __init__(self, spec: ColumnSpec, room: int) -> None:
        self._values = _GrowingArray(spec.shape, spec.dtype, room)
        self._offsets = _GrowingArray((), np.dtype(np.int64), room)
        self._offsets.append(np.zeros(1, np.int64))
        self._is_text = spec.kind == "text"

    def append(self, column: Any) -> bool:
        """True: a ragged column is read as it was filled last."""
        end = self._offsets.filled()[-1]
        self._values.append(column.values)
        self._offsets.append(column.offsets[1:] + end)
        return True

    def empty(self) -> None:
        self._values.empty()
        self._offsets.empty()
        self._offsets.append(np.zeros(1, np.int64))

    def held(self) -> Ragged:
        return self.filled()

    def filled(self) -> Ragged:
        return Ragged(self._values.filled(), self._offsets.filled(), self._is_text)


def _growing(spec: ColumnSpec, room: int, make: Empty = np.empty) -> _GrowingArray | _GrowingRagged:
    if spec.kind == "array":
        return _GrowingArray(spec.shape, spec.dtype, room, make)
    return _GrowingRagged(spec, room)
