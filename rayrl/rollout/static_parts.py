"""Observation parts that an environment declares static: they do not change within an episode.

An environment declares them by an attribute ``static_observations`` of its own, on the vector environment or
on each sub-environment: names of parts below the observation, such as ``"graph/edge_index"``. A rollout then
keeps such a part once for each trajectory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rayrl.config.base import nearest
from rayrl.errors import EnvError
from rayrl.experience.columns import OBS, ColumnSpec
from rayrl.experience.ragged import same_bits
from rayrl.rollout.vector_env import declared

Array = NDArray[Any]


def static_parts(env: VectorEnv, parts: Mapping[str, ColumnSpec]) -> frozenset[str]:
    """The column names of the parts that an environment declares static.

    Args:
        env: the vector environment.
        parts: spec of every part of its observation, by column name.

    Raises:
        EnvError: a declared part is none of the observation, or is text.
    """
    where = "static_observations"
    names = tuple(declared(env, where, ()))
    for name in names:
        spec = parts.get(f"{OBS}/{name}")
        if spec is None:
            known = [part.removeprefix(f"{OBS}/") for part in parts]
            raise EnvError(
                f"{name!r} is no part of the observation", where=where, remedy=nearest(name, known)
            )
        if spec.kind != "array":
            raise EnvError(f"{name!r} is text", where=where, remedy="text is kept with every step")
    return frozenset(f"{OBS}/{name}" for name in names)


class EpisodeParts:
    """The static parts of the episodes of a rollout, one value for each episode, numbered as they begin.

    Args:
        parts: spec of each part by column name.
        num_envs: number of sub-environments N.

    Attributes:
        now: each part ``(N, ...)``, of the episodes that are open.
        number: int32 ``(N,)`` the numbers of these.
    """

    def __init__(self, parts: Mapping[str, ColumnSpec], num_envs: int) -> None:
        self.now = {name: np.zeros((num_envs, *spec.shape), spec.dtype) for name, spec in parts.items()}
        self.number = np.zeros(num_envs, np.int32)
        self._kept: dict[str, list[Array]] = {name: [] for name in parts}
        self._count = 0
        self.restart()

    def __bool__(self) -> bool:
        return bool(self.now)

    def begin(self, slots: NDArray[np.bool_], parts: Mapping[str, Any]) -> None:
        """Begins episodes in some sub-environments ``(N,)``; ``parts`` are those of all, ``(N, ...)``."""
        for name, held in self.now.items():
            held[slots] = np.asarray(parts[name])[slots]
            self._kept[name].append(held[slots])
        begun = int(np.count_nonzero(slots))
        self.number[slots] = np.arange(self._count, self._count + begun)
        self._count += begun

    def check(self, parts: Mapping[str, Any], *, where: str) -> None:
        """Makes sure that the open episodes' observations ``(N, ...)`` still are what they began with.

        Raises:
            EnvError: a part has changed.
        """
        for name, held in self.now.items():
            if not same_bits(held, np.asarray(parts[name], held.dtype)):
                raise EnvError(
                    f"changed {name.removeprefix(f'{OBS}/')!r} within an episode, and declares it static",
                    where=where,
                    remedy="take it out of static_observations",
                )

    def of(self, numbers: NDArray[np.integer[Any]]) -> dict[str, Array]:
        """Each part ``(k, ...)`` of episodes, by their numbers."""
        return {name: np.concatenate(kept)[numbers] for name, kept in self._kept.items()}

    def restart(self, numbers: NDArray[np.integer[Any]] | None = None) -> None:
        """Forgets the episodes but the open ones, and those of some numbers, which are from 0 on then."""
        first: dict[str, Array] = {} if numbers is None else self.of(numbers)
        self._begin_with(first, 0 if numbers is None else len(numbers))

    def _begin_with(self, first: Mapping[str, Array], count: int) -> None:
        for name, held in self.now.items():
            self._kept[name] = [first[name], held.copy()] if name in first else [held.copy()]
        self.number[:] = np.arange(count, count + len(self.number))
        self._count = count + len(self.number)

    def set(self, parts: Mapping[str, Array]) -> None:
        """Takes over the parts ``(k, ...)`` of k episodes, which have the numbers from 0 on."""
        self._begin_with(parts, len(next(iter(parts.values()))) if parts else 0)
