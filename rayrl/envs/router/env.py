"""``rayrl/Router-v0``: route each request that arrives at an LLM service to one of its replicas.

Both environments take the fields of ``RouterConfig`` as keyword arguments, and both run on
``RouterEpisodes``, so a sub-environment of the vectorized one does exactly what the single one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.episodes import RouterEpisodes
from rayrl.envs.router.observation import LIMIT, observation_names
from rayrl.envs.side_by_side import infos_of, seeds_of
from rayrl.errors import EnvError

ENV_ID = "rayrl/Router-v0"


class RouterEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One episode at a time: ``requests`` decisions, then truncation.

    Args:
        options: fields of ``RouterConfig``.

    Raises:
        ConfigError: a field is unknown or wrong.
        DataError: the trace cannot be used.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, **options: Any) -> None:
        config = RouterConfig.parse(options, where=ENV_ID)
        self.observation_space, self.action_space = _spaces(config)
        self.episodes = RouterEpisodes(config, num_envs=1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begins the first episode of ``seed``, or without a seed the next one."""
        seeds = None if seed is None else seeds_of(seed, 1, where=ENV_ID)
        super().reset(seed=seed)
        return self.episodes.reset(seeds)[0], {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Routes the request to replica ``action``; ``info`` of the last step holds the episode's metrics.

        Raises:
            EnvError: the episode is over, or the action names no replica.
        """
        if self.episodes.over[0]:
            raise EnvError("step after the end of the episode", where=ENV_ID, remedy="Call reset() first.")
        result = self.episodes.step(np.array([action], np.int64))
        info = {name: float(value[0]) for name, value in result.metrics.items()}
        return result.observations[0], float(result.rewards[0]), False, bool(result.truncated[0]), info

    def signals(self) -> dict[str, float]:
        """``queue``, ``latency`` and ``balance`` of the replicas now."""
        return {name: float(value[0]) for name, value in self.episodes.signals().items()}

    def get_state(self) -> dict[str, NDArray[np.generic]]:
        """The whole state as arrays; ``set_state`` goes on from it bitwise."""
        return self.episodes.get_state()

    def set_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores what ``get_state`` returned; raises DataError for a state of another configuration."""
        self.episodes.set_state(state)


class RouterVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """``num_envs`` episodes stepped by one call into compiled code.

    Args:
        num_envs: number of sub-environments.
        options: fields of ``RouterConfig``.

    Raises:
        ConfigError: a field is unknown or wrong.
        DataError: the trace cannot be used.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        config = RouterConfig.parse(options, where=ENV_ID)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = _spaces(config)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.episodes = RouterEpisodes(config, num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begins the first episodes of seeds ``seed + i`` or of those listed; without any, the next ones."""
        if seed is None:
            return self.episodes.reset(), {}
        return self.episodes.reset(seeds_of(seed, self.num_envs, where=ENV_ID)), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[
        NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Routes one request in each sub-environment; one that was over begins anew and ignores its action.

        Raises:
            EnvError: an action names no replica.
        """
        result = self.episodes.step(np.asarray(actions, np.int64))
        infos = infos_of(result.metrics, result.truncated)
        return result.observations, result.rewards, np.zeros(self.num_envs, np.bool_), result.truncated, infos

    def signals(self) -> dict[str, NDArray[np.float64]]:
        """``queue``, ``latency`` and ``balance`` of the replicas now, each (num_envs,)."""
        return self.episodes.signals()

    def get_state(self) -> dict[str, NDArray[np.generic]]:
        """The state of all sub-environments as arrays; ``set_state`` goes on from it bitwise."""
        return self.episodes.get_state()

    def set_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores what ``get_state`` returned; raises DataError for a state of another configuration."""
        self.episodes.set_state(state)


def _spaces(config: RouterConfig) -> tuple[Box, Discrete]:
    size = len(observation_names(config))
    return Box(-LIMIT, LIMIT, (size,), np.float32), Discrete(config.replicas)
