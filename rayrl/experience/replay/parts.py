"""What the buffer reads off the trajectories of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Source, Split
from rayrl.experience.ragged import Ragged
from rayrl.experience.replay.groups import Groups
from rayrl.experience.replay.index import Parts
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.tables import NONE, PART
from rayrl.experience.split import uniform_of

_TELLING = (c.SPLIT, c.DOMAIN, c.TASK, c.SOURCE)
"""The columns that tell a trajectory's group."""
_SMALL = 1024
"""Trajectories of a batch whose groups are likely those of the batch before, as in a vector step."""
_UNSET, _TRAIN, _VAL = (int(side) for side in (Split.unset, Split.train, Split.val))


def prepare(batch: TrajectoryBatch, options: ReplayOptions) -> TrajectoryBatch:
    """The batch with every trajectory on one side of the split; sides that are given stay.

    A side is chosen by a hash of the episode's id, so that all parts of an episode are on one side.
    """
    columns: Any = batch.trajectory_columns
    given = columns.get(c.SPLIT)
    unset = None if given is None else given == _UNSET
    if unset is not None and not unset.any():
        return batch
    sides = np.full(batch.num_trajectories, _TRAIN, np.uint8)
    if options.val_fraction:
        sides[uniform_of(columns[c.EPISODE_ID], options.seed) < options.val_fraction] = _VAL
    if unset is not None:
        sides = np.where(unset, sides, given)
    return TrajectoryBatch(batch.columns, batch.offsets, columns | {c.SPLIT: sides})


def index_parts(batch: TrajectoryBatch, groups: NDArray[np.int32]) -> Parts:
    """What the index keeps of each trajectory of a batch, given their groups.

    The return of an episode is the column ``episode_return`` where it is known, else ``return_so_far``;
    without that column rewards are summed.
    """
    columns: Any = batch.trajectory_columns
    accumulate = c.RETURN_SO_FAR not in columns
    if accumulate:
        rewards: Any = batch.columns[c.REWARDS]
        returned = np.add.reduceat(rewards, batch.offsets[:-1], dtype=np.float64)
    else:
        returned = columns[c.RETURN_SO_FAR]
        if c.EPISODE_RETURN in columns:
            final = columns[c.EPISODE_RETURN]
            returned = np.where(np.isnan(final), returned, final)
    rows = np.empty(batch.num_trajectories, PART)
    episodes = columns[c.EPISODE_ID]
    rows["high"], rows["low"] = episodes[:, 0], episodes[:, 1]
    rows["length"] = batch.lengths
    rows["first_step"] = columns[c.FIRST_STEP]
    rows["version"] = columns.get(c.POLICY_VERSION_MAX, NONE)
    rows["returned"] = returned
    rows["group"] = groups
    rows["terminated"], rows["truncated"] = columns[c.TERMINATED], columns[c.TRUNCATED]
    return Parts(rows, accumulate)


def groups_of(batch: TrajectoryBatch, groups: Groups, partition: str) -> NDArray[np.int32]:
    """``(trajectories,)`` the groups of the trajectories of a batch."""
    small = batch.num_trajectories <= _SMALL
    told = (partition, batch.num_trajectories, *_told(batch)) if small else None
    if told is not None and told == groups.told:
        return groups.told_numbers
    columns = [_texts(batch, name) for name in _TELLING]
    numbers = groups.numbers([[partition], *columns])
    numbers = numbers if len(numbers) > 1 else np.repeat(numbers, batch.num_trajectories)
    if told is not None:
        groups.told, groups.told_numbers = told, numbers
    return numbers


def _told(batch: TrajectoryBatch) -> list[bytes | None]:
    """The bytes of the columns that tell the groups of the trajectories of a batch."""
    told: list[bytes | None] = []
    for name in _TELLING:
        column: Any = batch.trajectory_columns.get(name)
        if isinstance(column, Ragged):
            told += [column.values.tobytes(), column.offsets.tobytes()]
        else:
            told.append(None if column is None else column.tobytes())
    return told


def trajectory_texts(batch: TrajectoryBatch, name: str) -> list[str]:
    """A trajectory column of texts or of codes as texts, one for each trajectory.

    Where a batch has no such column, its trajectories are rollouts of no domain and no task.
    """
    found = list(_texts(batch, name))
    return found if len(found) == batch.num_trajectories else found * batch.num_trajectories


def _texts(batch: TrajectoryBatch, name: str) -> Sequence[str]:
    """A column of texts or of codes as texts: one for each trajectory, or one if it is the same for all."""
    column: Any = batch.trajectory_columns.get(name)
    if column is None:
        return [Source.rollout.name if name == c.SOURCE else ""]
    if isinstance(column, Ragged):
        same = len(column) and (column.lengths == column.lengths[0]).all()
        if same and (column.values.reshape(len(column), -1) == column[0]).all():
            return column.slice(0, 1).to_text()
        return column.to_text()
    kind: Any = Split if name == c.SPLIT else Source
    if (column == column[0]).all():
        return [_name(kind, int(column[0]))]
    return [_name(kind, code) for code in column.tolist()]


def _name(kind: Any, code: int) -> str:
    return str(kind(code).name) if code in set(kind) else str(code)
