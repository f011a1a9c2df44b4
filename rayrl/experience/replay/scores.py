"""On-policiness: how likely a policy is to have taken the actions of each trajectory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs
from rayrl.experience.replay.reading import trajectory_batch
from rayrl.experience.replay.storage import ReplayStorage

Scorer = Callable[[TrajectoryBatch], Any]
"""Gives the log-likelihood of each action of a batch, ``(steps,)``."""

_STEPS_AT_ONCE = 16_384


def score(
    storage: ReplayStorage,
    specs: BatchSpecs,
    agent: Scorer,
    *,
    policy_version: int | None,
    max_age: int,
    entries: NDArray[np.int64],
) -> int:
    """Computes scores that are missing or too old: the mean log-likelihood of a trajectory's actions.

    Args:
        storage: what the buffer holds.
        specs: the columns to show the agent.
        agent: what scores.
        policy_version: its version, kept with the scores; None where it has none, and all are computed.
        max_age: versions by which a score may be older.
        entries: of the trajectories.

    Returns:
        How many were computed.

    Raises:
        DataError: the agent gives another number of values, or one that is not finite.
    """
    records = storage.index.trajectories.rows
    old = np.isnan(records["score"][entries])
    if policy_version is None:
        old[:] = True
    else:
        old |= records["score_version"][entries] + max_age < policy_version
    due = entries[old]
    sums = np.cumsum(records["length"][due])
    for group in np.split(due, np.flatnonzero(np.diff(sums // _STEPS_AT_ONCE)) + 1) if len(due) else []:
        batch = trajectory_batch(storage, group, specs)
        likelihoods = np.asarray(agent(batch), np.float64)
        if likelihoods.shape != (batch.num_steps,):
            raise DataError(
                f"gave values of shape {likelihoods.shape} for {batch.num_steps} steps",
                where="agent",
                remedy="an agent that scores gives the log-likelihood of each action: (steps,)",
            )
        if not np.isfinite(likelihoods).all():
            raise DataError(f"gave {likelihoods[~np.isfinite(likelihoods)][0]}", where="agent")
        records["score"][group] = np.add.reduceat(likelihoods, batch.offsets[:-1]) / batch.lengths
        records["score_version"][group] = -1 if policy_version is None else policy_version
    if len(due):
        storage.index.change += 1
    return len(due)
