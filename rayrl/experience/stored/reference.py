"""Steps of stored experience by row id, read from the files alone: what samples are held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged, same_bits
from rayrl.experience.replay import saved
from rayrl.experience.stored.opening import Progress, Stored

_NONE = -1


class Reference:
    """All steps, found by row id, each with the step that follows it.

    The files stay mapped; what is kept in memory are some 40 bytes of each step.

    Args:
        stored: what was opened. The row ids of a dataset are 0, 1, 2, … in its order, as a buffer of one
            unbounded partition gives them.
        progress: told of steps.

    Attributes:
        row_ids: int64 ``(steps,)``, in the order of the files.
        next: int64 ``(steps,)`` the step after each within its trajectory, or -1.
        begin: int64 ``(steps,)`` the first step of each one's trajectory.
        end: int64 ``(steps,)`` the last one.
        longest: most steps of a trajectory.
    """

    def __init__(self, stored: Stored, progress: Progress | None = None) -> None:
        self._batches: list[TrajectoryBatch] = []
        ids: list[Any] = []
        owners: list[Any] = []
        link = _by_id if stored.buffer is not None else _ByEpisode()
        steps = 0
        for _, batch in stored.batches(progress):
            self._batches.append(batch)
            rows = np.arange(steps, steps + batch.num_steps)
            ids.append(rows if stored.buffer is None else batch.columns[saved.ROW_ID])
            owners.append(np.repeat(link(batch), batch.lengths))
            steps += batch.num_steps
        none = np.empty(0, np.int64)
        self.row_ids: NDArray[np.int64] = np.concatenate([none, *ids])
        owner = np.concatenate([none, *owners])
        # The steps of a trajectory come in their order, but not always next to each other.
        order = np.argsort(owner, kind="stable")
        same = owner[order][1:] == owner[order][:-1]
        self.next: NDArray[np.int64] = np.full(steps, _NONE, np.int64)
        self.next[order[:-1][same]] = order[1:][same]
        ends = np.append(np.flatnonzero(~same), steps - 1) if steps else none
        lengths = np.diff(ends, prepend=-1)
        self.begin: NDArray[np.int64] = np.empty(steps, np.int64)
        self.end: NDArray[np.int64] = np.empty(steps, np.int64)
        self.begin[order] = np.repeat(order[ends - lengths + 1], lengths)
        self.end[order] = np.repeat(order[ends], lengths)
        self.longest = int(lengths.max(initial=0))
        self._starts = np.cumsum([0, *(batch.num_steps for batch in self._batches)])
        self._by_row_id = np.argsort(self.row_ids)

    def find(self, row_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Steps of row ids, ``(n,)``; -1 for those that are not stored."""
        at = np.searchsorted(self.row_ids, row_ids, sorter=self._by_row_id)
        at = self._by_row_id[np.minimum(at, len(self._by_row_id) - 1)]
        return np.where(self.row_ids[at] == row_ids, at, _NONE)

    def walk(self, steps: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """``(n, length)`` each step and those after it in its trajectory; -1 past its end."""
        found = np.empty((len(steps), length), np.int64)
        for column in found.T:
            column[:] = steps
            steps = np.where(steps < 0, _NONE, self.next[steps])
        return found

    def read(self, name: str, steps: NDArray[np.int64]) -> Column:
        """Rows of a step column."""
        return self._gather(steps, lambda batch, rows: _take(batch.columns[name], rows))

    def has(self, name: str) -> bool:
        """Whether all trajectories have a column."""
        return all(name in batch.trajectory_columns for batch in self._batches)

    def read_part(self, name: str, steps: NDArray[np.int64]) -> Column:
        """Values of a trajectory column, as the part in which each step lies has them."""

        def take(batch: TrajectoryBatch, rows: NDArray[np.int64]) -> Column:
            owners = np.searchsorted(batch.offsets, rows, side="right") - 1
            return _take(batch.trajectory_columns[name], owners)

        return self._gather(steps, take)

    def _gather(
        self, steps: NDArray[np.int64], take: Callable[[TrajectoryBatch, NDArray[np.int64]], Column]
    ) -> Column:
        of = np.searchsorted(self._starts, steps, side="right") - 1
        order = np.argsort(of, kind="stable")
        parts: list[Any] = []
        for batch in np.unique(of).tolist():
            rows = steps[order][of[order] == batch] - self._starts[batch]
            parts.append(take(self._batches[batch], rows))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        joined = Ragged.concat(parts) if isinstance(parts[0], Ragged) else np.concatenate(parts)
        return _take(joined, back)


def same_values(a: Column, b: Column) -> bool:
    """Whether two columns are the same, bit for bit."""
    if isinstance(a, Ragged) or isinstance(b, Ragged):
        return a == b if isinstance(a, Ragged) and isinstance(b, Ragged) else False
    return same_bits(np.ascontiguousarray(a), np.ascontiguousarray(b))


def _take(column: Column, rows: NDArray[np.int64]) -> Column:
    return column.take(rows) if isinstance(column, Ragged) else column[rows]


def _by_id(batch: TrajectoryBatch) -> Any:
    return batch.trajectory_columns[saved.TRAJECTORY_ID]


class _ByEpisode:
    """Numbers trajectories: one goes on where an earlier part of its episode left off, without a gap."""

    def __init__(self) -> None:
        self._due: dict[tuple[int, int], tuple[int, int]] = {}
        self._count = 0

    def __call__(self, batch: TrajectoryBatch) -> NDArray[np.int64]:
        columns: Any = batch.trajectory_columns
        over = columns[c.TERMINATED] | columns[c.TRUNCATED]
        numbers = np.empty(batch.num_trajectories, np.int64)
        parts = zip(
            map(tuple, columns[c.EPISODE_ID].tolist()),
            columns[c.FIRST_STEP].tolist(),
            batch.lengths.tolist(),
            over.tolist(),
            strict=True,
        )
        for i, (episode, first, length, ended) in enumerate(parts):
            number, due = self._due.pop(episode, (0, _NONE))
            if due != first:
                number, self._count = self._count, self._count + 1
            if not ended:
                self._due[episode] = number, first + length
            numbers[i] = number
        return numbers
