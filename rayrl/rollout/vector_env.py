"""Builds vectorized environments from an id, a class path, a class or a callable."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import rayrl.envs  # noqa: F401  (registers rayrl's environments)
from rayrl.config.base import nearest
from rayrl.envs.spec import import_env_module
from rayrl.errors import EnvError, RayrlError
from rayrl.rollout.mujoco_warnings import log_mujoco_warnings

AUTO = "auto"
"""Vectorization by the environment's own vector implementation where it has one, else one after the other."""
MODES = (AUTO, "sync", "async", "vector_entry_point")

_VERSION = re.compile(r"-v\d+$")
"""How the id of a registered environment ends; the name of a class cannot."""

_BUILDING_BLOCKS = ("gymnasium.core", "gymnasium.vector", "gymnasium.wrappers")

EnvFactory: TypeAlias = Callable[..., gym.Env[Any, Any]] | type[VectorEnv]


def make_vector_env(
    env: str | EnvFactory, config: Mapping[str, Any], num_envs: int, *, mode: str = AUTO
) -> VectorEnv:
    """Builds ``num_envs`` copies of an environment that step together.

    Args:
        env: a registered Gymnasium id, which ``module:`` may precede; ``module:Class``; or a class or another
            callable that takes the config as keyword arguments. A class of vector environments, which also
            takes ``num_envs``, is used as it is, whatever the mode.
        config: keyword arguments of the environment.
        num_envs: number of sub-environments.
        mode: ``auto``, or one of Gymnasium's (``sync``, ``async``, ``vector_entry_point``).

    Returns:
        A vector environment for which ``autoreset_mode`` is known.

    Raises:
        EnvError: the environment is unknown, its constructor raised, it has no vector implementation where
            one is asked for, or does not say how it resets.
    """
    where = f"env {env if isinstance(env, str) else getattr(env, '__name__', repr(env))}"
    found = find_env(env) if isinstance(env, str) else env
    try:
        vector = _vectorized(found, config, num_envs, mode)
    except RayrlError:
        raise
    except Exception as error:
        raise EnvError(
            f"cannot be built with {dict(config)}: {type(error).__name__}: {error}", where=where
        ) from error
    if not isinstance(autoreset_mode(vector), AutoresetMode):
        vector.close()
        raise EnvError(
            "does not say how it resets finished sub-environments",
            where=where,
            remedy="set metadata['autoreset_mode'] to a gymnasium.vector.AutoresetMode",
        )
    return vector


def autoreset_mode(env: VectorEnv) -> Any:
    """When the environment resets a sub-environment whose episode is over, as far as it says."""
    base = env.unwrapped
    if isinstance(base, SyncVectorEnv | AsyncVectorEnv):
        # Their metadata are those of the sub-environment's class, and so of other vector environments too.
        return base.autoreset_mode
    return env.metadata.get("autoreset_mode")


def declared(env: VectorEnv, name: str, default: Any) -> Any:
    """An attribute by which an environment declares something of itself, on the vector environment or on each
    sub-environment; ``default`` where it does not, or its sub-environments are in other processes."""
    base = env.unwrapped
    if isinstance(base, AsyncVectorEnv):
        # Its sub-environments raise for an attribute that they lack.
        return default
    return getattr(base.envs[0].unwrapped if isinstance(base, SyncVectorEnv) else base, name, default)


def _vectorized(
    found: EnvSpec | EnvFactory, config: Mapping[str, Any], num_envs: int, mode: str
) -> VectorEnv:
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}, not one of {', '.join(MODES)}")
    if inspect.isclass(found) and issubclass(found, VectorEnv):
        vector: VectorEnv = found(num_envs=num_envs, **config)  # type: ignore[call-arg]
        return vector
    if isinstance(found, EnvSpec):
        native = found.vector_entry_point is not None and not found.additional_wrappers
        if mode == "vector_entry_point" or (mode == AUTO and native):
            return gym.make_vec(found, num_envs, "vector_entry_point", **config)
        found = partial(_make_registered, found)
    elif mode == "vector_entry_point":
        raise ValueError("it is no class of vector environments")
    make = partial(_make_one, found, config)
    if mode == "async":
        return AsyncVectorEnv([make] * num_envs)
    # The collector copies what it keeps, so the vector environment need not. It also tells when to reset, so
    # that no step is spent on that, and the last observation is read before the reset can write over it.
    return SyncVectorEnv([make] * num_envs, copy=False, autoreset_mode=AutoresetMode.DISABLED)


def _make_registered(spec: EnvSpec, **config: Any) -> gym.Env[Any, Any]:
    if isinstance(spec.entry_point, str):
        # Where that imports MuJoCo, its warnings are taken before it loads a model.
        load_env_creator(spec.entry_point)
        log_mujoco_warnings()
    return gym.make(spec, **config)


def _make_one(make: Callable[..., Any], config: Mapping[str, Any]) -> gym.Env[Any, Any]:
    log_mujoco_warnings()
    env = make(**config)
    if not isinstance(env, gym.Env):
        raise TypeError(f"{env!r} is no gymnasium.Env")
    return env


def find_env(env: str) -> EnvSpec | EnvFactory:
    """What a class path or an id names.

    Raises:
        EnvError: it is unknown, or its module cannot be imported.
    """
    module, name = import_env_module(env), env.rpartition(":")[2]
    found: EnvFactory | None = getattr(module, name, None) if module else None
    if found is not None:
        return found
    try:
        return gym.spec(name)
    except gym.error.Error:
        if module is None or _VERSION.search(name):
            message, remedy = "is not a registered environment", nearest(name, gym.registry)
        else:
            message, classes = f"module {module.__name__!r} has no {name!r}", _env_classes(module)
            remedy = nearest(name, classes) if classes else "it has no class of environments"
        raise EnvError(message, where=f"env {env}", remedy=remedy) from None


def _env_classes(module: ModuleType) -> list[str]:
    """Names of a module's classes of environments, without Gymnasium's building blocks."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, gym.Env | VectorEnv)
        and not value.__module__.startswith(_BUILDING_BLOCKS)
    ]
