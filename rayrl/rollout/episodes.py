"""What is known of the episodes that a rollout finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FinishedEpisodes:
    """One value per finished episode, in the order of sub-environment, then time.

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
    def concat(cls, parts: Sequence[FinishedEpisodes]) -> FinishedEpisodes:
        """Joins several, in order; there must be at least one."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def successes(infos: dict[str, Any], num_envs: int) -> NDArray[np.float32] | None:
    """``(N,)`` ``is_success`` where it is given, NaN elsewhere; None if nowhere."""
    if "is_success" not in infos:
        return None
    given = np.asarray(infos.get("_is_success", np.ones(num_envs, np.bool_)))
    values = np.full(num_envs, np.nan, np.float32)
    values[given] = np.asarray(infos["is_success"])[given].astype(np.float32)
    return values
