"""Saves and restores a vector environment that can say its state, so that a resumed run goes on exactly.

An environment takes part by ``get_state() -> arrays and plain values`` and ``set_state(state)``; a vector
environment of its own does so for all its sub-environments at once.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit


def has_state(env: VectorEnv) -> bool:
    """Whether the environment, or each of its sub-environments, can save and restore its state."""
    base = env.unwrapped
    if isinstance(base, SyncVectorEnv):
        return all(_is_stateful(sub) for sub in base.envs)
    return _is_stateful(base)


def get_env_state(env: VectorEnv) -> Any:
    """The state of every sub-environment, steps counted by ``TimeLimit`` included.

    Only to be called where ``has_state`` holds.
    """
    base = env.unwrapped
    if isinstance(base, SyncVectorEnv):
        return [{"env": _owner(sub).get_state(), "elapsed": _elapsed(sub)} for sub in base.envs]
    return base.get_state()


def set_env_state(env: VectorEnv, state: Any) -> None:
    """Puts every sub-environment back; the environment must have been reset at least once."""
    base = env.unwrapped
    if not isinstance(base, SyncVectorEnv):
        base.set_state(state)
        return
    for sub, saved in zip(base.envs, state, strict=True):
        _owner(sub).set_state(saved["env"])
        if (limit := _time_limit(sub)) is not None:
            limit._elapsed_steps = saved["elapsed"]


def _is_stateful(env: Any) -> bool:
    owner = _owner(env) if isinstance(env, gym.Env) else env
    return hasattr(owner, "get_state") and hasattr(owner, "set_state")


def _owner(env: gym.Env[Any, Any]) -> Any:
    """The outermost layer that has a state of its own to tell: a wrapper, or the environment inside."""
    layer = env
    while isinstance(layer, gym.Wrapper) and not _defines_state(layer):
        layer = layer.env
    return layer


def _defines_state(layer: gym.Wrapper[Any, Any, Any, Any]) -> bool:
    return any("get_state" in vars(cls) for cls in type(layer).__mro__)


def _time_limit(env: gym.Env[Any, Any]) -> TimeLimit[Any, Any] | None:
    layer = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, TimeLimit):
            return layer
        layer = layer.env
    return None


def _elapsed(env: gym.Env[Any, Any]) -> int | None:
    limit = _time_limit(env)
    return None if limit is None else limit._elapsed_steps
