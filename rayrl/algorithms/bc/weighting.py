"""Weights of demonstrated steps that make groups of them count the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.algorithms.pretrain_options import Balance
from rayrl.errors import DataError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Ragged

WEIGHT = "weight"
"""Step column: how much a step counts; 1 on average."""


def balanced_weights(batch: TrajectoryBatch, balance: Sequence[Balance]) -> NDArray[np.float32]:
    """``(num_steps,)`` weights N / (S · count) of steps in S groups; their mean is 1.

    A group has one demonstrator, one action, or, where both are named, one action of one demonstrator. Groups
    that do not occur do not count.

    Args:
        batch: all steps that are learned from.
        balance: what makes a group.

    Raises:
        DataError: the batch does not say who demonstrated.
    """
    keys: list[NDArray[Any]] = []
    if "demonstrator" in balance:
        names = batch.trajectory_columns.get(c.DEMONSTRATOR)
        if not isinstance(names, Ragged):
            raise DataError(
                "is needed to balance demonstrators", where=c.DEMONSTRATOR, remedy="balance by action alone"
            )
        _, index = np.unique(np.array(names.to_text()), return_inverse=True)
        keys.append(index[batch.trajectory_of_row()])
    if "action" in balance:
        actions: Any = batch.columns[c.ACTIONS]
        _, index = np.unique(actions.reshape(len(actions), -1), axis=0, return_inverse=True)
        keys.append(index.reshape(-1))
    _, group, counts = np.unique(np.stack(keys, 1), axis=0, return_inverse=True, return_counts=True)
    # w = N / (S · count)
    weights: NDArray[np.float32] = (batch.num_steps / (len(counts) * counts)).astype(np.float32)
    return weights[group.reshape(-1)]
