"""Builds vectorized environments from an id, a class path, a callable or an RLlib-registered name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import rayrl.envs  # noqa: F401  (registers rayrl's environments)
from rayrl.config.base import nearest
from rayrl.errors import EnvError, RayrlError

AUTO = "auto"
"""Vectorization by the environment's own vector implementation where it has one, else one after the other."""

EnvMaker = Callable[[], VectorEnv]


def make_vector_env(
    env: str | type[gym.Env[Any, Any]] | Callable[..., gym.Env[Any, Any]],
    config: Mapping[str, Any],
    num_envs: int,
    *,
    mode: str = AUTO,
) -> VectorEnv:
    """Builds ``num_envs`` copies of an environment that step together.

    Args:
        env: a registered Gymnasium id, ``module:Class``, an environment class, or a callable that takes the
            config as keyword arguments.
        config: keyword arguments of the environment.
        num_envs: number of sub-environments.
        mode: ``auto``, or one of Gymnasium's (``sync``, ``async``, ``vector_entry_point``).

    Returns:
        A vector environment whose ``metadata["autoreset_mode"]`` is set. Sub-environments that are stepped
        one after the other reset in the same step, so that no step is spent on a reset.

    Raises:
        EnvError: the environment is unknown, or its constructor raised.
    """
    where = env if isinstance(env, str) else getattr(env, "__name__", repr(env))
    try:
        spec = _spec(env)
        if spec is None:
            vector = _in_turn(lambda: env(**config), num_envs)  # type: ignore[operator]
        elif _native(spec, mode):
            vector = gym.make_vec(spec, num_envs, "vector_entry_point", **config)
        elif mode in (AUTO, "sync"):
            vector = _in_turn(lambda: gym.make(spec, **config), num_envs)
        else:
            vector = gym.make_vec(spec, num_envs, mode, **config)
    except RayrlError:
        raise
    except Exception as error:
        raise EnvError(
            f"cannot be built with {dict(config)}: {type(error).__name__}: {error}", where=f"env {where}"
        ) from error
    if not isinstance(vector.metadata.get("autoreset_mode"), AutoresetMode):
        vector.close()
        raise EnvError(
            "does not say how it resets finished sub-environments",
            where=f"env {where}",
            remedy="set metadata['autoreset_mode'] to a gymnasium.vector.AutoresetMode",
        )
    return vector


def _in_turn(make: Callable[[], gym.Env[Any, Any]], num_envs: int) -> VectorEnv:
    # The collector copies what it keeps, so the vector environment need not.
    return SyncVectorEnv([make] * num_envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)


def _native(spec: EnvSpec, mode: str) -> bool:
    if mode == AUTO:
        return spec.vector_entry_point is not None and not spec.additional_wrappers
    return mode == "vector_entry_point"


def _spec(env: str | type[gym.Env[Any, Any]] | Callable[..., gym.Env[Any, Any]]) -> EnvSpec | None:
    """The registered spec, a spec made for a class path, or none for a callable."""
    if not isinstance(env, str):
        return None
    module, _, name = env.rpartition(":")
    if module:
        found = getattr(_import(module, env), name, None)
        if found is not None:
            return EnvSpec(id=f"{name}-v0", entry_point=found, disable_env_checker=True)
    try:
        return gym.spec(name)
    except gym.error.Error:
        raise EnvError(
            "is not a registered environment", where=f"env {env}", remedy=nearest(name, gym.registry)
        ) from None


def _import(module: str, env: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EnvError(
            f"module {module!r} cannot be imported: {error}",
            where=f"env {env}",
            remedy="give module:Class with a module that is on the Python path",
        ) from error
