"""Signals: numbers that an environment tells of its load or progress, averaged over a batch.

An environment tells them by a method ``signals() -> {name: (N,) array}`` of its state now, where it is
vectorized, and ``{name: number}`` where it is not; or under a key of ``info``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

Signals = dict[str, tuple[float, int]]
"""By name the sum of a batch's values, and how many they were."""


class SignalMeter:
    """Adds up signals from one batch to the next.

    Args:
        names: which ones.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._sums: Signals = {}

    def read(self, env: VectorEnv, infos: Any) -> None:
        """Takes in what the environment tells after a step.

        Args:
            env: the vector environment.
            infos: as its ``step`` gave them.
        """
        told = _told(env)
        for name in self._names:
            values = told[name] if name in told else _in_infos(infos, name)
            known = values[np.isfinite(values)]
            if len(known):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + float(known.sum()), count + len(known))

    def take(self) -> Signals:
        """What has been added up since the last call."""
        sums, self._sums = self._sums, {}
        return sums


def mean_signals(parts: Sequence[Signals]) -> dict[str, float]:
    """Means over the batches of several workers; a name that none of them has is left out."""
    names = dict.fromkeys(name for part in parts for name in part)
    sums = {name: np.sum([part[name] for part in parts if name in part], axis=0) for name in names}
    return {name: float(total / count) for name, (total, count) in sums.items()}


def _told(env: VectorEnv) -> Mapping[str, NDArray[np.float64]]:
    base = env.unwrapped
    if hasattr(type(base), "signals"):
        return {name: np.asarray(values, np.float64) for name, values in base.signals().items()}
    if isinstance(base, SyncVectorEnv) and all(hasattr(type(sub.unwrapped), "signals") for sub in base.envs):
        each = [sub.unwrapped.signals() for sub in base.envs]
        return {name: np.array([told[name] for told in each], np.float64) for name in each[0]}
    return {}


def _in_infos(infos: Any, name: str) -> NDArray[np.float64]:
    """The values ``(n,)`` of the n sub-environments that gave one."""
    if not isinstance(infos, Mapping):
        return np.array([info[name] for info in infos if info and name in info], np.float64)
    if name not in infos:
        return np.empty(0)
    values = np.asarray(infos[name], np.float64)
    given: NDArray[np.bool_] = np.asarray(infos.get(f"_{name}", np.ones(len(values), np.bool_)))
    return values[given]
