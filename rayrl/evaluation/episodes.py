"""Plays one episode in each slot of a vector environment."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from rayrl.evaluation.actors import Act
from rayrl.evaluation.result import LENGTH, RETURN, SUCCESS
from rayrl.rollout.vector_env import declared

_RENAMED = {"is_success": SUCCESS}
Metrics = dict[str, NDArray[np.float64]]
"""One float64 array per metric, one number per episode; NaN where it is not known."""


class Ending(IntEnum):
    """How an episode came to its last step."""

    terminated = 0
    truncated = 1
    """The environment cut it."""
    cut = 2
    """A limit of the evaluation did."""
    raised = 3
    """It did not: something raised."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What an episode raised."""

    message: str
    trace: str


@dataclass(frozen=True, slots=True)
class Played:
    """Consecutive episodes of an evaluation, as they were played."""

    metrics: Metrics
    endings: NDArray[np.int8]
    """An ``Ending`` per episode, (episodes,)."""
    faults: tuple[Fault | None, ...]
    """One per episode."""

    @classmethod
    def nothing_of(cls, error: Exception, trace: str) -> Played:
        """An episode that raised: nothing of it is known."""
        fault = Fault(f"{type(error).__name__}: {error}", trace)
        return cls({}, np.array([Ending.raised], np.int8), (fault,))

    @classmethod
    def join(cls, parts: Sequence[Played]) -> Played:
        """Parts end to end; NaN where one of them lacks a metric."""
        names = dict.fromkeys(name for part in parts for name in part.metrics)
        return cls(
            {
                name: np.concatenate(
                    [part.metrics.get(name, np.full(len(part.endings), np.nan)) for part in parts]
                )
                for name in names
            },
            np.concatenate([part.endings for part in parts]),
            tuple(fault for part in parts for fault in part.faults),
        )

    def telling(self, names: Iterable[str]) -> Played:
        """The same with these metrics, NaN where no episode told them: a limit may have cut them all."""
        unknown = np.full(len(self.endings), np.nan)
        return replace(
            self, metrics=self.metrics | {name: unknown for name in names if name not in self.metrics}
        )


def tells(env: VectorEnv) -> frozenset[str]:
    """The metrics that an environment declares to tell at each episode's end, by ``final_info``."""
    return frozenset(_RENAMED.get(name, name) for name in declared(env, "final_info", ()))


def play(
    env: VectorEnv,
    act: Act,
    seeds: Sequence[int],
    *,
    max_steps: int | None = None,
    timeout_s: float | None = None,
) -> Played:
    """Resets slot i with seed i and plays its first episode to the end.

    A slot whose episode is over goes on acting until all are, and what it does then counts for nothing.

    Args:
        env: at least as many slots as there are seeds.
        act: chooses the actions of all slots; begun anew, so that it remembers nothing of other episodes.
        seeds: one for each episode.
        max_steps: steps after which an episode is cut.
        timeout_s: seconds after which the episodes that still play are cut, between two steps.

    Returns:
        Metrics as ``EvaluationResult`` names them, and how the episodes ended.
    """
    count = len(seeds)
    deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
    spare = [seeds[-1]] * (env.num_envs - count)
    observations, _ = env.reset(seed=[*seeds, *spare])
    playing = np.arange(env.num_envs) < count
    returns, lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)
    ends: list[dict[str, float]] = [{} for _ in range(count)]
    endings = np.full(count, Ending.terminated, np.int8)
    while playing.any():
        observations, rewards, terminated, truncated, infos = env.step(act(env.unwrapped, observations))
        returns[playing] += np.asarray(rewards)[playing]
        lengths += playing
        done = np.logical_or(terminated, truncated)
        is_late = time.monotonic() >= deadline
        cut = ~done & (is_late | (lengths >= (math.inf if max_steps is None else max_steps)))
        for slot in np.flatnonzero(playing & (done | cut)).tolist():
            ends[slot] = _last_numbers(env, infos, slot, done=bool(done[slot]))
            if not terminated[slot]:
                endings[slot] = Ending.cut if cut[slot] else Ending.truncated
        playing &= ~(done | cut)
        if done.any() and env.metadata["autoreset_mode"] is AutoresetMode.DISABLED:
            observations, _ = env.reset(options={"reset_mask": done})
    metrics = {RETURN: returns[:count], LENGTH: lengths[:count].astype(np.float64), **_columns(ends)}
    return Played(metrics, endings, (None,) * count)


def _last_numbers(env: VectorEnv, infos: Mapping[str, Any], slot: int, *, done: bool) -> dict[str, float]:
    """The numbers in the ``info`` of a slot's last step."""
    if done and env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP:
        infos = infos["final_info"]
    return {
        _RENAMED.get(name, name): float(value)
        for name in infos
        if not name.startswith("_") and name not in (RETURN, LENGTH)
        if isinstance(value := _of_slot(infos, name, slot), bool | int | float | np.bool_ | np.number)
    }


def _of_slot(infos: Mapping[str, Any], name: str, slot: int) -> Any:
    """What a vector environment's ``infos`` say of one slot under a name; None where they do not."""
    if f"_{name}" in infos and not infos[f"_{name}"][slot]:
        return None
    value = infos[name]
    return value[slot] if isinstance(value, np.ndarray | list | tuple) and len(value) > slot else value


def _columns(rows: Sequence[Mapping[str, float]]) -> Metrics:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
