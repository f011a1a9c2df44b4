"""B maze episodes side by side: what both environments, single and vectorized, run on.

level source ─▶ begin ──────▶ graph, once per episode ─┐
actions ──────▶ step ───────▶ observe ─────────────────┴▶ policy
                simulator     observation, images, graph
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rayrl.envs.mine_maze.categories import Room
from rayrl.envs.mine_maze.config import MineMazeConfig
from rayrl.envs.mine_maze.graph import STATES, GraphArrays, build_graph, write_node_state
from rayrl.envs.mine_maze.images import FRAME_CELLS, FRAME_SCALE, VIEW_SCALE, write_frames, write_views
from rayrl.envs.mine_maze.level import Level
from rayrl.envs.mine_maze.levels import LevelSource, hash_bytes, level_source
from rayrl.envs.mine_maze.observation import (
    GAME_STATE,
    REACHABILITY,
    write_action_mask,
    write_game_state,
    write_reachability,
)
from rayrl.envs.mine_maze.simulator import (
    DEATH_BY_MINE,
    DEATH_BY_PATROL,
    NONE,
    STUCK,
    SUCCESS,
    TIMEOUT,
    RewardScale,
    Simulation,
    step,
    step_limit,
)
from rayrl.envs.side_by_side import Bounds, check_bounds, check_one_each, check_state
from rayrl.errors import DataError, EnvError

_WHERE = "rayrl/MineMaze-v0"
_COUNTED: dict[str, Bounds] = {"begun": (0, np.iinfo(np.int64).max)}
"""Of a saved state, what the numbers of every slot may be."""


class StepResult(NamedTuple):
    """What a step of B episodes brought."""

    observations: dict[str, Any]
    """(B, …) each"""
    rewards: NDArray[np.float64]
    """(B,)"""
    terminated: NDArray[np.bool_]
    """(B,): the exit was reached, or a mine."""
    truncated: NDArray[np.bool_]
    """(B,): there are no more steps."""
    endings: dict[str, NDArray[np.float64]]
    """How those that ended now did, in order of their slots; empty when there are none."""


class MineMazeEpisodes:
    """State and dynamics of ``num_envs`` independent episodes; one that is over is begun anew by ``step``.

    Args:
        config: the environment's options.
        num_envs: number of episodes B.
        source: gives the levels; None takes the source that the options state.

    Raises:
        ConfigError, DataError: as ``level_source`` does.
    """

    def __init__(self, config: MineMazeConfig, num_envs: int, source: LevelSource | None = None) -> None:
        self.config = config
        self.num_envs = num_envs
        self.source = level_source(config, num_envs) if source is None else source
        self.room: Room = self.source.room
        self.simulation = Simulation.empty(self.room, num_envs)
        self.levels: list[Level | None] = [None] * num_envs
        self._scale = RewardScale.of(config)
        self._nodes = np.full((num_envs, self.room.cells), -1, np.int16)
        self._graph = GraphArrays.empty(self.room, num_envs) if "graph" in config.observations else None
        self._seeds = np.zeros(num_envs, np.uint64)
        self._begun = np.zeros(num_envs, np.int64)
        self._places = np.zeros((num_envs, 2), np.uint64)
        self._hashes = np.zeros((num_envs, 32), np.uint8)
        self._over: NDArray[np.bool_] | None = None

    @property
    def over(self) -> NDArray[np.bool_]:
        """Which episodes have ended, (B,).

        Raises:
            EnvError: before the first reset.
        """
        if self._over is None:
            raise EnvError("step before the first reset", where=_WHERE)
        return self._over

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> dict[str, Any]:
        """Begins the first episode of each seed (B,), or the next one where no seeds are given.

        Without any seed so far, the operating system gives them. Returns the observations.

        Raises:
            EnvError: there are more or fewer seeds than episodes.
        """
        if seeds is None and self._over is None:
            if self.config.level_file is None:
                seeds = np.random.SeedSequence().generate_state(self.num_envs, np.uint64).astype(np.uint64)
            else:
                seeds = np.arange(self.num_envs, dtype=np.uint64)
        if seeds is not None:
            check_one_each("seeds", seeds, self.num_envs, where=_WHERE)
            self._seeds[:], self._begun[:] = seeds, 0
        self._begin(range(self.num_envs))
        self._over = np.zeros(self.num_envs, np.bool_)
        return self._observe()

    def step(self, actions: NDArray[np.int64]) -> StepResult:
        """Takes one action (B,) in each episode: stay, up, right, down or left.

        An episode that was over ignores its action and begins anew, with reward 0.

        Raises:
            EnvError: before the first reset, or if there is not one action for each.
        """
        check_one_each("actions", actions, self.num_envs, where=_WHERE)
        rewards = np.empty(self.num_envs, np.float64)
        invalid = step(self.simulation, self._scale, actions, self.over, rewards)
        if invalid != NONE:
            raise EnvError(
                f"there is no action {actions[invalid]}",
                where=_WHERE,
                remedy="0 stays, 1 to 4 go up, right, down and left",
            )
        if self.over.any():
            self._begin(np.flatnonzero(self.over).tolist())
        ended = self.simulation.episodes["ended"]
        self._over = ended != 0
        truncated = ended >= TIMEOUT
        endings = self._endings(np.flatnonzero(self._over)) if self._over.any() else {}
        return StepResult(self._observe(), rewards, self._over & ~truncated, truncated, endings)

    def get_state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all arrays that the episodes consist of; ``set_state`` goes on from them bitwise.

        Levels are named, not copied: by category and seed or by number in the file, and by hash.
        """
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores what ``get_state`` returned.

        Raises:
            DataError: the state is of another configuration, number of environments, or other levels, or a
                number in it is none that an episode on its level comes to.
        """
        arrays = self._arrays()
        check_state(state, arrays)
        check_bounds(state, _COUNTED, range(self.num_envs), where=_WHERE)
        begun = [b for b in range(self.num_envs) if state["begun"][b]]
        levels = {b: self._named_level(state, b) for b in begun}
        check_bounds(state, self._bounds(state, levels), begun, where=_WHERE)
        for name, array in arrays.items():
            array[...] = state[name]
        for b, level in levels.items():
            self._install(b, level)
        self._build_graphs(begun)
        self._over = self.simulation.episodes["ended"] != 0 if len(begun) == self.num_envs else None

    def _named_level(self, state: Mapping[str, NDArray[np.generic]], b: int) -> Level:
        place: Any = state["places"][b]
        try:
            level = self.source.level((int(place[0]), int(place[1])))
        except IndexError:
            level = None
        if level is None or not np.array_equal(hash_bytes(level), state["hashes"][b]):
            raise DataError("the state is on a level that these options do not have", where=_WHERE)
        return level

    def _bounds(
        self, state: Mapping[str, NDArray[np.generic]], levels: Mapping[int, Level]
    ) -> dict[str, Bounds]:
        """What the numbers of episodes on these levels, by slot, may be."""
        limits = [step_limit(level, self.config.max_steps) for level in levels.values()]
        return {
            "visited": (0, 1),
            "episodes/cell": (0, [len(level.maze.kinds) - 1 for level in levels.values()]),
            "episodes/doors": (0, [(1 << level.maze.doors) - 1 for level in levels.values()]),
            "episodes/steps": (0, limits),
            "episodes/newest": (0, state["episodes/steps"][list(levels)]),
            "episodes/ended": (0, STUCK),
        }

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        """Views of all that the state consists of."""
        arrays: dict[str, NDArray[np.generic]] = {
            "seeds": self._seeds,
            "begun": self._begun,
            "places": self._places,
            "hashes": self._hashes,
            "visited": self.simulation.visited,
        }
        episodes = self.simulation.episodes
        return arrays | {f"episodes/{name}": episodes[name] for name in episodes.dtype.names or ()}

    def _begin(self, slots: Iterable[int]) -> None:
        slots = list(slots)
        for b in slots:
            place = self.source.draw(int(self._seeds[b]), int(self._begun[b]))
            level = self.source.level(place)
            self._places[b], self._hashes[b] = place, hash_bytes(level)
            self._install(b, level)
            self.simulation.begin(b)
            self._begun[b] += 1
        self._build_graphs(slots)

    def _install(self, b: int, level: Level) -> None:
        self.levels[b] = level
        self.simulation.install(b, level, self.config.max_steps)

    def _build_graphs(self, slots: Iterable[int]) -> None:
        if self._graph is None:
            return
        # Observations that were given out keep the graphs that they had.
        self._graph = self._graph.copy()
        for b in slots:
            build_graph(self.simulation, b, self.room.side, self.config.wall_nodes, self._nodes, self._graph)

    def _endings(self, slots: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        ended = self.simulation.episodes["ended"][slots]
        dead = (ended == DEATH_BY_MINE) | (ended == DEATH_BY_PATROL)
        return {
            "is_success": (ended == SUCCESS).astype(np.float64),
            "death": dead.astype(np.float64),
            "death_by_mine": (ended == DEATH_BY_MINE).astype(np.float64),
            "death_by_patrol": (ended == DEATH_BY_PATROL).astype(np.float64),
            "timeout": (ended == TIMEOUT).astype(np.float64),
            "stuck": (ended == STUCK).astype(np.float64),
            "optimal_steps": self.simulation.levels["optimal_steps"][slots].astype(np.float64),
            "max_steps": self.simulation.levels["max_steps"][slots].astype(np.float64),
        }

    def _observe(self) -> dict[str, Any]:
        """The parts that are asked for, (B, …) each, in their order."""
        parts: dict[str, Callable[[], Any]] = {
            "game_state": self._game_state,
            "reachability": self._reachability,
            "player_frame": self._player_frame,
            "global_view": self._global_view,
            "graph": self._graph_parts,
            "action_mask": self._action_mask,
        }
        return {name: parts[name]() for name in self.config.observations}

    def _game_state(self) -> NDArray[np.float32]:
        out = np.empty((self.num_envs, len(GAME_STATE)), np.float32)
        write_game_state(self.simulation, self.room.side, out)
        return out

    def _reachability(self) -> NDArray[np.float32]:
        out = np.empty((self.num_envs, len(REACHABILITY)), np.float32)
        write_reachability(self.simulation, self.room.side, out)
        return out

    def _player_frame(self) -> NDArray[np.uint8]:
        side = FRAME_CELLS * FRAME_SCALE
        out = np.empty((self.num_envs, side, side, 1), np.uint8)
        write_frames(self.simulation, out)
        return out

    def _global_view(self) -> NDArray[np.uint8]:
        side = self.room.side * VIEW_SCALE
        out = np.empty((self.num_envs, side, side, 1), np.uint8)
        write_views(self.simulation, out)
        return out

    def _graph_parts(self) -> dict[str, NDArray[Any]]:
        assert self._graph is not None
        state = np.empty((self.num_envs, self.room.cells, len(STATES)), np.float32)
        focus = np.empty((self.num_envs, self.room.cells), np.uint8)
        write_node_state(self.simulation, self._nodes, state, focus)
        return {**self._graph._asdict(), "node_state": state, "focus": focus}

    def _action_mask(self) -> NDArray[np.int8]:
        out = np.empty((self.num_envs, 5), np.int8)
        write_action_mask(self.simulation, out)
        return out
