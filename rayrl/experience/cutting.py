"""Cutting a batch between any two of its rows, within a trajectory too."""

from __future__ import annotations

from typing import Any

import numpy as np

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged


def first_steps(batch: TrajectoryBatch, steps: int) -> TrajectoryBatch:
    """The first ``steps`` rows of a batch; a trajectory that goes on after them is cut there.

    A cut trajectory is one of an episode that is still open: its final observation is that of the next row.
    """
    return cut(batch, steps)[0]


def cut(batch: TrajectoryBatch, row: int) -> tuple[TrajectoryBatch, TrajectoryBatch]:
    """The rows before ``row`` and those from it on; a trajectory that lies on both sides is cut there.

    Its first part is one of an episode that is still open: the flags are false, the final observation is that
    of the next row, the return so far is that before it, and what is known of the finished episode is unset.
    Its second part starts at a later step of the episode. Other trajectory columns stand with both parts.
    Step columns are views.

    Args:
        batch: what to cut.
        row: from 0; at or past the end nothing is left for the second part.
    """
    if row >= batch.num_steps:
        return batch, batch.slice(batch.num_trajectories, batch.num_trajectories)
    at = int(np.searchsorted(batch.offsets, row))
    if batch.offsets[at] == row:
        return batch.slice(0, at), batch.slice(at, batch.num_trajectories)
    end = int(batch.offsets[at])
    head: dict[str, Any] = {name: _slice(column, 0, at) for name, column in batch.trajectory_columns.items()}
    tail: dict[str, Any] = {
        name: _slice(column, at - 1, batch.num_trajectories)
        for name, column in batch.trajectory_columns.items()
    }
    last: dict[str, Any] = {
        c.TERMINATED: np.array([False]),
        c.TRUNCATED: np.array([False]),
        c.EPISODE_RETURN: np.array([np.nan]),
        c.EPISODE_SUCCESS: np.array([np.nan], np.float32),
    }
    for name, column in batch.columns.items():
        if c.is_observation(name):
            last[name.replace(c.OBS, c.FINAL_OBS, 1)] = _slice(column, row, row + 1)
    if c.RETURN_SO_FAR in head:
        rewards: Any = batch.columns[c.REWARDS]
        later = rewards[row:end].sum(dtype=np.float64)
        last[c.RETURN_SO_FAR] = head[c.RETURN_SO_FAR][-1:] - later
    head |= {name: _with_last(head[name], value) for name, value in last.items() if name in head}
    if c.FIRST_STEP in tail:
        tail[c.FIRST_STEP] = tail[c.FIRST_STEP].copy()
        tail[c.FIRST_STEP][0] += row - batch.offsets[at - 1]
    return (
        TrajectoryBatch(
            {name: _slice(column, 0, row) for name, column in batch.columns.items()},
            np.append(batch.offsets[:at], row),
            head,
        ),
        TrajectoryBatch(
            {name: _slice(column, row, batch.num_steps) for name, column in batch.columns.items()},
            np.append(0, batch.offsets[at:] - row),
            tail,
        ),
    )


def _slice(column: Column, start: int, stop: int) -> Column:
    return column.slice(start, stop) if isinstance(column, Ragged) else column[start:stop]


def _with_last(column: Column, last: Any) -> Column:
    if isinstance(column, Ragged):
        return Ragged.concat([column.slice(0, len(column) - 1), last])
    return np.concatenate([column[:-1], last])
