"""Plays one episode in each slot of a vector environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from rayrl.evaluation.actors import Act
from rayrl.evaluation.result import LENGTH, RETURN, SUCCESS

_RENAMED = {"is_success": SUCCESS}
_Metrics = dict[str, NDArray[np.float64]]


def play(env: VectorEnv, act: Act, seeds: Sequence[int], *, max_steps: int | None = None) -> _Metrics:
    """Resets slot i with seed i and plays its first episode to the end.

    A slot whose episode is over goes on acting until all are, and what it does then counts for nothing.

    Args:
        env: at least as many slots as there are seeds.
        act: chooses the actions of all slots; begun anew, so that it remembers nothing of other episodes.
        seeds: one for each episode.
        max_steps: steps after which an episode is cut.

    Returns:
        One float64 array per metric, (len(seeds),), as ``EvaluationResult`` names them.
    """
    count = len(seeds)
    spare = [seeds[-1]] * (env.num_envs - count)
    observations, _ = env.reset(seed=[*seeds, *spare])
    playing = np.arange(env.num_envs) < count
    returns, lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)
    ends: list[dict[str, float]] = [{} for _ in range(count)]
    while playing.any():
        observations, rewards, terminated, truncated, infos = env.step(act(env.unwrapped, observations))
        returns[playing] += np.asarray(rewards)[playing]
        lengths += playing
        done = np.logical_or(terminated, truncated)
        cut = ~done & (lengths >= max_steps) if max_steps is not None else np.zeros_like(done)
        for slot in np.flatnonzero(playing & (done | cut)).tolist():
            ends[slot] = _last_numbers(env, infos, slot, done=bool(done[slot]))
        playing &= ~(done | cut)
        if done.any() and env.metadata["autoreset_mode"] is AutoresetMode.DISABLED:
            observations, _ = env.reset(options={"reset_mask": done})
    return {RETURN: returns[:count], LENGTH: lengths[:count].astype(np.float64), **_columns(ends)}


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


def _columns(rows: Sequence[Mapping[str, float]]) -> _Metrics:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
