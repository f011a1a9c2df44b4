"""Demonstrators: policies given as programs, which teach by example and set the scale of a score.

A demonstrator acts on a whole vectorized environment and may read the environment's own state, as an oracle
does. Each is registered for an environment id under a name; ``random`` serves every environment.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rayrl.config.base import nearest
from rayrl.envs.spec import import_env_module
from rayrl.errors import ConfigError, DataError, RayrlError, SpaceError


class Demonstrator(Protocol):
    """A policy that is a program."""

    def act(self, env: VectorEnv[Any, Any, Any], observations: Any) -> NDArray[Any]:
        """Actions for all sub-environments, (num_envs, …).

        Args:
            env: the unwrapped vectorized environment.
            observations: what it last returned.
        """

    def get_state(self) -> dict[str, Any]:
        """What ``set_state`` needs to go on with the same actions: plain values."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restores what ``get_state`` returned."""


class DemonstratorFactory(Protocol):
    """Makes a demonstrator."""

    def __call__(self, *, seed: int) -> Demonstrator:
        """A fresh demonstrator; the same seed gives the same actions."""


_entry_points: dict[str, dict[str, str]] = {}
_default_mixes: dict[str, dict[str, float]] = {}


def register_demonstrator(env_id: str, name: str, entry_point: str) -> None:
    """Registers ``entry_point``, ``module:Class`` of a ``DemonstratorFactory``, for an environment id."""
    _entry_points.setdefault(env_id, {})[name] = entry_point


def register_default_mix(env_id: str, shares: Mapping[str, float]) -> None:
    """Registers whose demonstrations are taken, in which shares, where an experiment names nobody."""
    _default_mixes[env_id] = dict(shares)


def default_mix(env_id: str) -> dict[str, float]:
    """The registered mix of an environment, without importing its module; empty where there is none."""
    return dict(_default_mixes.get(env_id, {}))


def demonstrators_for(env_id: str) -> Mapping[str, DemonstratorFactory]:
    """The demonstrators of an environment by name; calling one imports what it needs.

    The module of ``module:Class`` is imported first, so that it can register them.

    Raises:
        EnvError: that module cannot be imported.
    """
    import_env_module(env_id)
    named = {name: partial(_make, entry_point) for name, entry_point in _entry_points.get(env_id, {}).items()}
    return {**named, "random": Random}


def make_demonstrator(env_id: str, name: str, *, seed: int) -> Demonstrator:
    """The named demonstrator of an environment.

    Raises:
        ConfigError: it has none of that name.
        EnvError: the environment's module cannot be imported.
        DataError: the demonstrator's module cannot be imported, or its constructor raised.
    """
    known = demonstrators_for(env_id)
    if name not in known:
        raise ConfigError(
            f"there is no demonstrator {name!r} of {env_id}",
            where="demonstrators",
            remedy=nearest(name, known),
        )
    return known[name](seed=seed)


def _make(entry_point: str, *, seed: int) -> Demonstrator:
    module, _, attribute = entry_point.partition(":")
    try:
        factory: DemonstratorFactory = getattr(importlib.import_module(module), attribute)
        return factory(seed=seed)
    except RayrlError:
        raise
    except Exception as error:
        raise DataError(
            f"cannot be made: {type(error).__name__}: {error}", where=f"demonstrator {entry_point}"
        ) from error


class Random:
    """Uniform actions for any environment; where a Box has no bounds, normal ones.

    Call c draws from the counter-based generator (seed, c), so the state is two integers.
    """

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._calls = 0

    def act(self, env: VectorEnv[Any, Any, Any], observations: Any) -> NDArray[Any]:
        """Draws one action per sub-environment.

        Raises:
            SpaceError: the action space is not Discrete, MultiDiscrete, MultiBinary or Box.
        """
        generator = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, 0, self._calls]))
        self._calls += 1
        return _uniform(env.single_action_space, env.num_envs, generator)

    def get_state(self) -> dict[str, Any]:
        """Seed and calls so far."""
        return {"seed": self._seed, "calls": self._calls}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on after ``state["calls"]`` calls."""
        self._seed, self._calls = state["seed"], state["calls"]


def _uniform(space: Space[Any], count: int, generator: np.random.Generator) -> NDArray[Any]:
    if isinstance(space, Discrete):
        return generator.integers(space.start, space.start + space.n, count)
    if isinstance(space, MultiDiscrete):
        shape = (count, *space.shape)
        return generator.integers(space.start, space.start + space.nvec, shape).astype(space.dtype)
    if isinstance(space, MultiBinary):
        return generator.integers(0, 2, (count, *space.shape), dtype=np.int8)
    if isinstance(space, Box):
        shape = (count, *space.shape)
        if np.issubdtype(space.dtype, np.integer):
            return generator.integers(space.low, space.high, shape, endpoint=True, dtype=space.dtype)
        if space.is_bounded():
            return generator.uniform(space.low, space.high, shape).astype(space.dtype)
        return np.clip(generator.normal(size=shape), space.low, space.high).astype(space.dtype)
    raise SpaceError(f"random actions of {space} are not supported")
