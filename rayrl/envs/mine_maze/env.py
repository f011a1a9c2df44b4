"""``rayrl/MineMaze-v0``: find the exit of a level, open doors by their switches, and meet no mine.

Both environments take the fields of ``MineMazeConfig`` as keyword arguments, and both run on
``MineMazeEpisodes``, so a sub-environment of the vectorized one does exactly what the single one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rayrl.envs.mine_maze.config import MineMazeConfig
from rayrl.envs.mine_maze.episodes import MineMazeEpisodes
from rayrl.envs.mine_maze.rendering import draw
from rayrl.envs.mine_maze.spaces import ACTIONS, observation_space, static_observations
from rayrl.envs.side_by_side import infos_of, seeds_of
from rayrl.errors import EnvError

ENV_ID = "rayrl/MineMaze-v0"
_RENDERING: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}
_FINAL_INFO = ("is_success", "death", "stuck", "optimal_steps")

Observation = dict[str, Any]


class MineMazeEnv(gymnasium.Env[Observation, np.int64]):
    """One episode at a time.

    Args:
        render_mode: ``rgb_array`` or None.
        options: fields of ``MineMazeConfig``.

    Attributes:
        static_observations: parts of the observation that do not change within an episode.
        shaping_gamma: the discount that the reward is shaped for; None without shaping.
        final_info: what the ``info`` of each episode's last step tells, among other things.

    Raises:
        ConfigError: a field is unknown or wrong.
        DataError: the file of levels cannot be used.
    """

    metadata: ClassVar[dict[str, Any]] = _RENDERING
    final_info: ClassVar[tuple[str, ...]] = _FINAL_INFO

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        config = MineMazeConfig.parse(options, where=ENV_ID)
        self.render_mode = render_mode
        self.episodes = MineMazeEpisodes(config, num_envs=1)
        self.observation_space = observation_space(config, self.episodes.room)
        self.action_space = ACTIONS
        self.static_observations = static_observations(config)
        self.shaping_gamma = config.shaping and config.shaping.gamma

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins the first episode of ``seed``, or without a seed the next one."""
        seeds = None if seed is None else seeds_of(seed, 1, where=ENV_ID)
        super().reset(seed=seed)
        return _first(self.episodes.reset(seeds)), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Stays (0), or goes up, right, down or left (1 to 4); ``info`` of the last step tells how it ended.

        Raises:
            EnvError: the episode is over, or there is no such action.
        """
        if self.episodes.over[0]:
            raise EnvError("step after the end of the episode", where=ENV_ID, remedy="Call reset() first.")
        result = self.episodes.step(np.array([action], np.int64))
        info = {name: float(value[0]) for name, value in result.endings.items()}
        return (
            _first(result.observations),
            float(result.rewards[0]),
            bool(result.terminated[0]),
            bool(result.truncated[0]),
            info,
        )

    def render(self) -> NDArray[np.uint8] | None:
        """The level as it is now, (rows * 24, columns * 24, 3); None without a render mode."""
        return _pictures(self.episodes)[0] if self.render_mode else None

    def get_state(self) -> dict[str, NDArray[np.generic]]:
        """The whole state as arrays; ``set_state`` goes on from it bitwise."""
        return self.episodes.get_state()

    def set_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores what ``get_state`` returned; raises DataError for a state of another configuration."""
        self.episodes.set_state(state)


class MineMazeVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """``num_envs`` episodes stepped by one call into compiled code.

    Args:
        num_envs: number of sub-environments.
        render_mode: ``rgb_array`` or None.
        options: fields of ``MineMazeConfig``.

    Attributes:
        static_observations: parts of the observation that do not change within an episode.
        shaping_gamma: the discount that the reward is shaped for; None without shaping.
        final_info: what the ``info`` of each episode's last step tells, among other things.

    Raises:
        ConfigError: a field is unknown or wrong.
        DataError: the file of levels cannot be used.
    """

    metadata: ClassVar[dict[str, Any]] = {**_RENDERING, "autoreset_mode": AutoresetMode.NEXT_STEP}
    final_info: ClassVar[tuple[str, ...]] = _FINAL_INFO

    def __init__(self, num_envs: int = 1, *, render_mode: str | None = None, **options: Any) -> None:
        config = MineMazeConfig.parse(options, where=ENV_ID)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.episodes = MineMazeEpisodes(config, num_envs)
        self.single_observation_space = observation_space(config, self.episodes.room)
        self.single_action_space = ACTIONS
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.static_observations = static_observations(config)
        self.shaping_gamma = config.shaping and config.shaping.gamma

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins the first episodes of seeds ``seed + i`` or of those listed; without any, the next ones."""
        if seed is None:
            return self.episodes.reset(), {}
        return self.episodes.reset(seeds_of(seed, self.num_envs, where=ENV_ID)), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Takes one action in each sub-environment; one that was over begins anew and ignores its action.

        Raises:
            EnvError: there is no such action.
        """
        result = self.episodes.step(np.asarray(actions, np.int64))
        ended = result.terminated | result.truncated
        infos = infos_of(result.endings, ended)
        return result.observations, result.rewards, result.terminated, result.truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The level of each sub-environment; None without a render mode."""
        return _pictures(self.episodes) if self.render_mode else None

    def get_state(self) -> dict[str, NDArray[np.generic]]:
        """The state of all sub-environments as arrays; ``set_state`` goes on from them bitwise."""
        return self.episodes.get_state()

    def set_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores what ``get_state`` returned; raises DataError for a state of another configuration."""
        self.episodes.set_state(state)


def _pictures(episodes: MineMazeEpisodes) -> tuple[NDArray[np.uint8], ...]:
    if None in episodes.levels:
        raise EnvError("render before the first reset", where=ENV_ID)
    records = episodes.simulation.episodes
    return tuple(draw(level.maze, records[b]) for b, level in enumerate(episodes.levels) if level)


def _first(observations: Observation) -> Observation:
    """The parts of the only episode."""
    return {
        name: _first(value) if isinstance(value, dict) else value[0] for name, value in observations.items()
    }
