"""Saves and restores a vector environment that can tell its state, so that a resumed run goes on exactly.

An environment takes part by ``get_state() -> arrays and plain values`` and ``set_state(state)``; a vector
environment of its own does so for all its sub-environments at once. Gymnasium's ``np_random`` is saved beside
what they tell, where it has been seeded or used. A wrapper takes part where it has these methods, and then
answers for all that it wraps, or where it has nothing to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers import (
    OrderEnforcing,
    PassiveEnvChecker,
    TimeLimit,
    TransformAction,
    TransformObservation,
    TransformReward,
)

STATELESS = (OrderEnforcing, PassiveEnvChecker, TransformAction, TransformObservation, TransformReward)
"""Wrappers that have no state to tell; that of ``TimeLimit`` is saved for it."""


def has_state(env: VectorEnv) -> bool:
    """Whether the environment, or each of its sub-environments, can save and restore all of its state."""
    if isinstance(env, SyncVectorEnv):
        return all(_owner(sub) is not None for sub in env.envs)
    return _tells_state(env)


def get_env_state(env: VectorEnv) -> dict[str, Any]:
    """The state of every sub-environment; only to be called where ``has_state`` holds."""
    if not isinstance(env, SyncVectorEnv):
        return _state_of(env)
    return {
        "envs": [_state_of(_owner(sub)) for sub in env.envs],
        "elapsed": [[limit._elapsed_steps for limit in _time_limits(sub)] for sub in env.envs],
        "over": env._autoreset_envs.copy(),
    }


def set_env_state(env: VectorEnv, state: Mapping[str, Any]) -> None:
    """Puts every sub-environment back; the environment must have been reset at least once."""
    if not isinstance(env, SyncVectorEnv):
        _set_state_of(env, state)
        return
    for sub, saved, elapsed in zip(env.envs, state["envs"], state["elapsed"], strict=True):
        _set_state_of(_owner(sub), saved)
        for limit, steps in zip(_time_limits(sub), elapsed, strict=True):
            limit._elapsed_steps = steps
    env._autoreset_envs = state["over"].copy()


def _state_of(owner: Any) -> dict[str, Any]:
    # Asked for as a property, it would be made here, and have a state that no two processes share.
    numbers = owner.unwrapped._np_random
    return {"own": owner.get_state(), "random": None if numbers is None else numbers.bit_generator.state}


def _set_state_of(owner: Any, state: Mapping[str, Any]) -> None:
    if state["random"] is not None:
        owner.unwrapped.np_random.bit_generator.state = state["random"]
    owner.set_state(state["own"])


def _owner(env: gym.Env[Any, Any]) -> gym.Env[Any, Any] | None:
    """The outermost layer that tells its state; None if there is none, or a wrapper has one of its own."""
    layer = env
    while isinstance(layer, gym.Wrapper) and not _tells_state(layer):
        if not isinstance(layer, (*STATELESS, TimeLimit)):
            return None
        layer = layer.env
    return layer if _tells_state(layer) else None


def _tells_state(layer: Any) -> bool:
    # Asked of the class: an older wrapper passes every attribute of what it wraps on.
    return hasattr(type(layer), "get_state") and hasattr(type(layer), "set_state")


def _time_limits(env: gym.Env[Any, Any]) -> list[TimeLimit[Any, Any]]:
    limits, layer = [], env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, TimeLimit):
            limits.append(layer)
        layer = layer.env
    return limits
