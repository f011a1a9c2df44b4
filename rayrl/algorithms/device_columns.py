"""Columns of batches as tensors on a learner's device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rayrl.errors import TrainingError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged
from rayrl.models.observed import Columns, Observed


def on_device(column: Column, device: torch.device) -> Tensor:
    """A column as a tensor of its own.

    Raises:
        TrainingError: the column is ragged.
    """
    if isinstance(column, Ragged):
        raise TrainingError("ragged and text columns cannot be learned from by this policy")
    # Arrays from the object store are read-only and must not stay pinned by a tensor.
    own = column if column.flags.writeable else column.copy()
    return torch.from_numpy(np.ascontiguousarray(own)).to(device)


def observed_in(batch: TrajectoryBatch, device: torch.device) -> Observed:
    """The observations of a batch's rows, by the policy's names.

    Raises:
        TrainingError: a part is text.
    """
    once = {name: batch.trajectory_columns[name] for name in c.static_names(batch.trajectory_columns)}
    return Observed(
        {name: on_device(x, device) for name, x in batch.columns.items() if c.is_observation(name)},
        {name: on_device(column, device) for name, column in once.items()},
        on_device(batch.trajectory_of_row() if once else np.empty(0, np.int64), device),
    )


def observed_last(batch: TrajectoryBatch, observed: Observed, device: torch.device) -> Observed:
    """The observation after the last row of each trajectory; ``observed`` is what was before."""
    final = {
        name.replace(c.FINAL_OBS, c.OBS, 1): on_device(column, device)
        for name, column in batch.trajectory_columns.items()
        if c.is_final(name)
    }
    return Observed(final | observed.by_trajectory)


def parts_of(minibatch: Columns) -> Columns:
    """The parts of the observation among the columns of a minibatch."""
    return {name: part for name, part in minibatch.items() if c.is_observation(name)}
