"""TrajectoryBatch: many trajectories in columns, the only form in which experience moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.config.base import nearest
from rayrl.errors import DataError
from rayrl.experience.columns import (
    FINAL_OBS,
    OBS,
    TRAJECTORY_COLUMNS,
    BatchSpecs,
    ColumnSpec,
    static_names,
)
from rayrl.experience.ragged import (
    Column,
    Ragged,
    check_offsets,
    gather_index,
    offsets_of,
    same_bits,
)
from rayrl.storage.spaces import DTYPES

Form = tuple[tuple[tuple[Any, ...], ...], tuple[tuple[Any, ...], ...]]


@dataclass(frozen=True, slots=True, eq=False)
class TrajectoryBatch:
    """Trajectories laid end to end, without padding.

    Args:
        columns: one value per step (row); ``(num_steps, ...)`` arrays or ragged columns.
        offsets: int64 ``(num_trajectories + 1,)``; trajectory i is rows ``offsets[i]:offsets[i + 1]``.
        trajectory_columns: one value per trajectory; ``(num_trajectories, ...)``.

    The arrays may be read-only views of shared memory; nothing here writes to them.
    """

    columns: dict[str, Column]
    offsets: NDArray[np.int64]
    trajectory_columns: dict[str, Column]

    @property
    def num_steps(self) -> int:
        """Number of rows."""
        return int(self.offsets[-1])

    @property
    def num_trajectories(self) -> int:
        """Number of trajectories."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``(num_trajectories,)`` number of steps of each trajectory."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def nbytes(self) -> int:
        """Bytes of all columns and offsets."""
        columns = [*self.columns.values(), *self.trajectory_columns.values()]
        return self.offsets.nbytes + sum(column.nbytes for column in columns)

    @property
    def specs(self) -> BatchSpecs:
        """Kind, dtype and row shape of every column."""
        return BatchSpecs(
            {name: ColumnSpec.of(column) for name, column in self.columns.items()},
            {name: ColumnSpec.of(column) for name, column in self.trajectory_columns.items()},
        )

    @property
    def form(self) -> Form:
        """What ``specs`` says, to be compared at once: two batches of one form have the same specs."""
        return (_form(self.columns), _form(self.trajectory_columns))

    def trajectory_of_row(self) -> NDArray[np.int64]:
        """``(num_steps,)`` index of the trajectory that each row belongs to."""
        return np.repeat(np.arange(self.num_trajectories), self.lengths)

    def step_of_row(self) -> NDArray[np.int64]:
        """``(num_steps,)`` position of each row within its trajectory, from 0."""
        return np.arange(self.num_steps) - np.repeat(self.offsets[:-1], self.lengths)

    def __eq__(self, other: object) -> bool:
        """Whether names, dtypes, shapes and bits are the same; NaNs of the same bits are equal."""
        if not isinstance(other, TrajectoryBatch):
            return NotImplemented
        return (
            np.array_equal(self.offsets, other.offsets)
            and _same_columns(self.columns, other.columns)
            and _same_columns(self.trajectory_columns, other.trajectory_columns)
        )

    __hash__ = None  # type: ignore[assignment]

    def validate(self) -> None:
        """Checks that every column fits the offsets and has a supported type.

        A trajectory has at least one step; a batch may have no trajectories. Trajectory columns that the
        format names have its types.

        Raises:
            DataError: naming the column.
        """
        check_offsets(self.offsets, where="offsets")
        if self.num_trajectories and (lengths := self.lengths).min() == 0:
            raise DataError(f"trajectory {int(lengths.argmin())} has no steps", where="offsets")
        steps, trajectories = self.num_steps, self.num_trajectories
        for name, column in self.columns.items():
            _check_column(name, column, steps)
        for name, column in self.trajectory_columns.items():
            _check_column(name, column, trajectories)
            due = TRAJECTORY_COLUMNS.get(name)
            if due is not None and not due.fits(column):
                raise DataError(f"is {ColumnSpec.of(column)}, and {due} in every batch", where=name)
        if both := self.columns.keys() & self.trajectory_columns.keys():
            raise DataError("is both a step column and a trajectory column", where=min(both))

    def slice(self, start: int, stop: int) -> TrajectoryBatch:
        """Trajectories ``start`` to ``stop`` (exclusive), as views of the columns.

        Raises:
            IndexError: unless ``0 <= start <= stop <= num_trajectories``.
        """
        if not 0 <= start <= stop <= self.num_trajectories:
            raise IndexError(f"trajectories {start}:{stop} of {self.num_trajectories}")
        offsets = self.offsets[start : stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return TrajectoryBatch(
            {name: _slice(column, first, last) for name, column in self.columns.items()},
            offsets - first if first else offsets,
            {name: _slice(column, start, stop) for name, column in self.trajectory_columns.items()},
        )

    def select(self, trajectories: NDArray[np.integer[Any]]) -> TrajectoryBatch:
        """Gathers whole trajectories in the order given; a contiguous rising range gives views.

        Args:
            trajectories: ``(k,)`` indices from 0 to ``num_trajectories - 1``; repeats are allowed.

        Raises:
            IndexError: an index is out of this range.
        """
        indices = np.asarray(trajectories, np.int64)
        if len(indices) == 0:
            return self.slice(0, 0)
        if indices.min() < 0 or indices.max() >= self.num_trajectories:
            raise IndexError(f"trajectories {indices.min()}..{indices.max()} of {self.num_trajectories}")
        if (np.diff(indices) == 1).all():
            return self.slice(int(indices[0]), int(indices[-1]) + 1)
        rows, offsets = gather_index(self.offsets, indices)
        return TrajectoryBatch(
            {name: _take(column, rows) for name, column in self.columns.items()},
            offsets,
            {name: _take(column, indices) for name, column in self.trajectory_columns.items()},
        )

    def split_by_rows(self, shards: int) -> list[TrajectoryBatch]:
        """Cuts the batch, in order and between trajectories, into shards of nearly equal rows.

        Each cut is put where the shard's rows come nearest to its fair part of what is left. With at least as
        many trajectories as shards no shard is empty; with fewer, the last shards are.

        Raises:
            ValueError: ``shards`` is not positive.
        """
        if shards < 1:
            raise ValueError(f"{shards} shards")
        parts, start = [], 0
        for left in range(shards, 0, -1):
            first = self.offsets[start]
            target = first + (self.num_steps - first) / left
            after = int(np.searchsorted(self.offsets, target))
            before = max(after - 1, start)
            nearer = before if target - self.offsets[before] <= self.offsets[after] - target else after
            most = max(self.num_trajectories - (left - 1), start + 1)
            stop = min(max(nearer, start + 1), most, self.num_trajectories)
            parts.append(self.slice(start, stop))
            start = stop
        return parts

    def with_columns(self, /, **columns: Column) -> TrajectoryBatch:
        """The batch with step columns added or replaced; the others are shared."""
        return replace(self, columns=self.columns | columns)

    def with_trajectory_columns(self, /, **columns: Column) -> TrajectoryBatch:
        """The batch with trajectory columns added or replaced; the others are shared."""
        return replace(self, trajectory_columns=self.trajectory_columns | columns)

    def with_static_parts_by_step(self) -> TrajectoryBatch:
        """The batch with every part of the observation at each step, and among the final observations.

        Parts that the environment declares static stand once for each trajectory; who gathers single steps
        from anywhere needs them there.
        """
        once = static_names(self.trajectory_columns)
        if not once:
            return self
        rows = self.trajectory_of_row()
        parts = {name: self.trajectory_columns[name] for name in once}
        kept = {name: column for name, column in self.trajectory_columns.items() if name not in parts}
        final = {name.replace(OBS, FINAL_OBS, 1): column for name, column in parts.items()}
        by_step = {name: _take(column, rows) for name, column in parts.items()}
        return replace(self, columns=by_step | self.columns, trajectory_columns=kept | final)

    def drop(self, names: Iterable[str]) -> TrajectoryBatch:
        """The batch without some columns, step or trajectory ones.

        Raises:
            DataError: a name is no column of the batch.
        """
        dropped = set(names)
        known = self.columns.keys() | self.trajectory_columns.keys()
        if unknown := dropped - known:
            name = min(unknown)
            raise DataError(f"no column {name!r}; {nearest(name, known)}")
        return replace(
            self,
            columns={name: column for name, column in self.columns.items() if name not in dropped},
            trajectory_columns={
                name: column for name, column in self.trajectory_columns.items() if name not in dropped
            },
        )

    @staticmethod
    def concat(batches: Sequence[TrajectoryBatch]) -> TrajectoryBatch:
        """Joins batches of the same columns, in order; a single batch is given back as it is.

        Raises:
            DataError: there is nothing to join, or the batches differ in a column's name, dtype or shape.
        """
        if not batches:
            raise DataError("there are no batches to join")
        first = batches[0]
        if len(batches) == 1:
            return first
        for batch in batches[1:]:
            first.specs.check_same(batch.specs)
        return TrajectoryBatch(
            {name: _join([batch.columns[name] for batch in batches]) for name in first.columns},
            offsets_of(np.concatenate([batch.lengths for batch in batches])),
            {
                name: _join([batch.trajectory_columns[name] for batch in batches])
                for name in first.trajectory_columns
            },
        )


def _check_column(name: str, column: Column, rows: int) -> None:
    if not name:
        raise DataError("a column's name is empty")
    dtype = column.values.dtype if isinstance(column, Ragged) else column.dtype
    if dtype not in DTYPES:
        known = ", ".join(sorted(known.name for known in DTYPES))
        raise DataError(f"dtype {dtype.str} is not supported", where=name, remedy=f"one of {known}")
    if isinstance(column, Ragged):
        column.validate(name)
    if len(column) != rows:
        raise DataError(f"has {len(column)} rows where the offsets ask for {rows}", where=name)


def _form(columns: Mapping[str, Column]) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        [
            (name, column.values.dtype, column.values.shape[1:], column.is_text)
            if isinstance(column, Ragged)
            else (name, column.dtype, column.shape[1:])
            for name, column in columns.items()
        ]
    )


def _slice(column: Column, start: int, stop: int) -> Column:
    return column.slice(start, stop) if isinstance(column, Ragged) else column[start:stop]


def _take(column: Column, rows: NDArray[np.int64]) -> Column:
    return column.take(rows) if isinstance(column, Ragged) else column[rows]


def _join(parts: Sequence[Column]) -> Column:
    arrays = [part for part in parts if not isinstance(part, Ragged)]
    if arrays:
        return np.concatenate(arrays)
    return Ragged.concat([part for part in parts if isinstance(part, Ragged)])


def _same_columns(a: Mapping[str, Column], b: Mapping[str, Column]) -> bool:
    return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)


def _same(a: Column, b: Column) -> bool:
    if isinstance(a, Ragged) or isinstance(b, Ragged):
        return a == b if isinstance(a, Ragged) and isinstance(b, Ragged) else False
    return same_bits(a, b)
