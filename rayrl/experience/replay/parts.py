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
from rayrl.experience.replay.tables import NONE
from rayrl.experience.split import uniform_of


def prepare(batch: TrajectoryBatch, options: ReplayOptions) -> TrajectoryBatch:
    """The batch with every trajectory on one side of the split; sides that are given stay.

    A side is chosen by a hash of the episode's id, so that all parts of an episode are on one side.
    """
    columns: Any = batch.trajectory_columns
    given = columns.get(c.SPLIT, np.zeros(batch.num_trajectories, np.uint8))
    unset = given == Split.unset
    if not unset.any():
        return batch
    val = np.zeros(len(unset), np.bool_)
    if options.val_fraction:
        val = uniform_of(columns[c.EPISODE_ID], options.seed) < options.val_fraction
    sides = np.where(unset, np.where(val, Split.val, Split.train), given).astype(np.uint8)
    return batch.with_trajectory_columns(**{c.SPLIT: sides})


def index_parts(batch: TrajectoryBatch) -> Parts:
    """What the index keeps of each trajectory of a batch.

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
    unknown = np.full(batch.num_trajectories, NONE, np.int64)
    return Parts(
        batch.lengths,
        columns[c.FIRST_STEP],
        columns[c.TERMINATED],
        columns[c.TRUNCATED],
        columns.get(c.POLICY_VERSION_MAX, unknown),
        returned,
        accumulate,
    )


def groups_of(batch: TrajectoryBatch, groups: Groups, partition: str) -> NDArray[np.int32]:
    """``(trajectories,)`` the groups of the trajectories of a batch."""
    columns = [_texts(batch, name) for name in (c.SPLIT, c.DOMAIN, c.TASK, c.SOURCE)]
    numbers = groups.numbers([[partition], *columns])
    return numbers if len(numbers) > 1 else np.repeat(numbers, batch.num_trajectories)


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
