"""What is known of the episodes that a rollout finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch


@dataclass(frozen=True, slots=True)
class FinishedEpisodes:
    """One value per finished episode.

    Args:
        returns: float64 ``(n,)`` undiscounted sums of raw rewards.
        lengths: int64 ``(n,)`` steps.
        successes: float32 ``(n,)`` ``is_success`` from ``info``; NaN where the environment does not say.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.returns)

    @classmethod
    def of(cls, batch: TrajectoryBatch) -> FinishedEpisodes:
        """The episodes whose last part is in a batch, in its order."""
        columns: Mapping[str, Any] = batch.trajectory_columns
        over = columns[c.TERMINATED] | columns[c.TRUNCATED]
        lengths = columns[c.FIRST_STEP] + batch.lengths
        return cls(columns[c.EPISODE_RETURN][over], lengths[over], columns[c.EPISODE_SUCCESS][over])

    @classmethod
    def concat(cls, parts: Sequence[FinishedEpisodes]) -> FinishedEpisodes:
        """Joins several, in order; there must be at least one."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def last_observations(final_obs: Any, slots: NDArray[np.int64]) -> dict[str, Any]:
    """The parts, ``(k, ...)``, of ``final_obs`` in the info of an environment that resets in the same step.

    Args:
        final_obs: an object array ``(N,)`` of single observations, as Gymnasium makes it; or, as some
            environments do, one batched observation.
        slots: ``(k,)`` sub-environments whose episodes ended.
    """
    if isinstance(final_obs, np.ndarray) and final_obs.dtype == object:
        each = [c.flatten_observation(final_obs[slot]) for slot in slots.tolist()]
        return {name: [parts[name] for parts in each] for name in each[0]}
    return {name: np.asarray(value)[slots] for name, value in c.flatten_observation(final_obs).items()}


def successes(
    infos: Mapping[str, Any] | Sequence[Mapping[str, Any] | None], num_envs: int
) -> NDArray[np.float32] | None:
    """float32 ``(N,)`` ``is_success`` where it is given and not None, NaN elsewhere; None if given nowhere.

    Args:
        infos: arrays ``(N,)`` by name, beside masks ``_<name>`` of where they are given, as Gymnasium makes
            them; or, as some environments do, one mapping or None for each sub-environment.
        num_envs: number of sub-environments N.
    """
    if not isinstance(infos, Mapping):
        return np.array([info and info.get("is_success") for info in infos], np.float32)
    if "is_success" not in infos:
        return None
    given = np.asarray(infos.get("_is_success", np.ones(num_envs, np.bool_)))
    values = np.full(num_envs, np.nan, np.float32)
    values[given] = np.asarray(infos["is_success"])[given].astype(np.float32)
    return values
