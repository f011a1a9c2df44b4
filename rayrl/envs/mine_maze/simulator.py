"""B episodes in numba: where the agents are, what a step does and earns.

action ─▶ moved? ─▶ mine, patrol, exit, switch, floor ─▶ reward ─▶ last step?
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.mine_maze.categories import MOST_PATROLS, PERIOD, Room
from rayrl.envs.mine_maze.config import MineMazeConfig
from rayrl.envs.mine_maze.level import Level
from rayrl.envs.mine_maze.planner import LOST, best_action, state_index
from rayrl.envs.mine_maze.rules import HIT_MINE, HIT_PATROL, SAFE, Maze, moved, outcome, pressed

NONE = -1
"""Stands for no episode."""
SUCCESS, DEATH_BY_MINE, DEATH_BY_PATROL, TIMEOUT, STUCK = range(1, 6)
"""How an episode ended; 0 while it has not."""
_STUCK_SHARE = 4
"""An episode is stuck that ran out of steps with no new cell in the last of so many parts of them."""

LEVEL = np.dtype(
    [
        ("rows", np.int64),
        ("columns", np.int64),
        ("spawn", np.int64),
        ("exit", np.int64),
        ("doors", np.int64),
        ("period", np.int64),
        ("optimal_steps", np.int64),
        ("max_steps", np.int64),
    ]
)
EPISODE = np.dtype(
    [
        ("cell", np.int64),
        ("doors", np.int64),  # bit i: door i is open
        ("steps", np.int64),
        ("newest", np.int64),  # the step that last came to a new cell
        ("ended", np.int64),  # how it ended
    ]
)


class RewardScale(NamedTuple):
    """The weights of the reward; ``config.Rewards`` and ``config.Shaping`` explain them."""

    exit: float
    death: float
    switch: float
    step: float
    gamma: float
    scale: float
    """0 without shaping."""

    @classmethod
    def of(cls, config: MineMazeConfig) -> Self:
        """The weights that a configuration states."""
        rewards, shaping = config.rewards, config.shaping
        return cls(
            exit=rewards.exit,
            death=rewards.death,
            switch=rewards.switch,
            step=rewards.step,
            gamma=shaping.gamma if shaping else 1.0,
            scale=shaping.scale if shaping else 0.0,
        )


def step_limit(level: Level, max_steps: int | None) -> int:
    """Steps after which an episode is truncated: those of the options, or twice the level's cells."""
    return max_steps or 2 * len(level.maze.kinds)


class Simulation(NamedTuple):
    """State of B episodes on levels of C cells at most; the functions below change it in place."""

    levels: NDArray[np.void]
    """(B,) of ``LEVEL``."""
    episodes: NDArray[np.void]
    """(B,) of ``EPISODE``."""
    kinds: NDArray[np.uint8]
    """(B, C), the first N of each; what follows, too, is as in ``rules.Maze``."""
    patrols: NDArray[np.int16]
    """(B, PERIOD, MOST_PATROLS)"""
    mined: NDArray[np.uint8]
    """(B, PERIOD * C)"""
    steps: NDArray[np.int16]
    """(B, 2^doors * PERIOD * C): the planner's table."""
    visited: NDArray[np.uint8]
    """(B, C): 1 where the agent has been in this episode."""

    @classmethod
    def empty(cls, room: Room, num_envs: int) -> Self:
        """Room for ``num_envs`` episodes; each must be begun before it is used."""
        return cls(
            levels=np.zeros(num_envs, LEVEL),
            episodes=np.zeros(num_envs, EPISODE),
            kinds=np.zeros((num_envs, room.cells), np.uint8),
            patrols=np.zeros((num_envs, PERIOD, MOST_PATROLS), np.int16),
            mined=np.zeros((num_envs, PERIOD * room.cells), np.uint8),
            steps=np.zeros((num_envs, (1 << room.doors) * PERIOD * room.cells), np.int16),
            visited=np.zeros((num_envs, room.cells), np.uint8),
        )

    def install(self, b: int, level: Level, max_steps: int | None) -> None:
        """Puts a level into slot ``b``, whose episode stays as it is."""
        maze = level.maze
        cells = len(maze.kinds)
        self.levels[b] = (
            maze.rows,
            maze.columns,
            maze.spawn,
            maze.exit,
            maze.doors,
            maze.period,
            level.optimal_steps,
            step_limit(level, max_steps),
        )
        self.kinds[b, :cells] = maze.kinds
        self.patrols[b] = maze.patrols
        self.mined[b, : len(maze.mined)] = maze.mined
        self.steps[b, : len(level.steps)] = level.steps

    def begin(self, b: int) -> None:
        """Puts the agent of slot ``b`` at the start of its level."""
        spawn = self.levels[b]["spawn"]
        self.episodes[b] = (spawn, 0, 0, 0, 0)
        self.visited[b] = 0
        self.visited[b, spawn] = 1


@njit
def maze_of(simulation, b):  # type: ignore[no-untyped-def]
    """The level in slot ``b``."""
    level = simulation.levels[b]
    cells = level.rows * level.columns
    return Maze(
        simulation.kinds[b, :cells],
        level.rows,
        level.columns,
        level.spawn,
        level.exit,
        level.doors,
        level.period,
        simulation.patrols[b],
        simulation.mined[b],
    )


@njit(cache=True)
def step(
    simulation: Simulation,
    scale: RewardScale,
    actions: NDArray[np.int64],
    over: NDArray[np.bool_],
    rewards: NDArray[np.float64],
) -> int:
    """Takes one action in each episode.

    Args:
        simulation: changed in place.
        scale: weights of the reward.
        actions: (B,)
        over: (B,), episodes to leave alone.
        rewards: written, (B,); 0 where the episode is over.

    Returns:
        An episode whose action is none, in which case nothing was done, or ``NONE``.
    """
    for b in range(actions.shape[0]):
        if not over[b] and not 0 <= actions[b] < 5:
            return b
    for b in range(actions.shape[0]):
        rewards[b] = 0.0
        if over[b]:
            continue
        maze, episode = maze_of(simulation, b), simulation.episodes[b]
        if scale.scale:
            before = _potential(simulation, scale, b, maze)
        target = moved(maze, episode.cell, episode.doors, actions[b])
        end = outcome(maze, episode.cell, target, episode.steps % maze.period)
        doors = pressed(maze, target, episode.doors)
        reward = scale.step
        if end == SAFE and doors != episode.doors:
            reward += scale.switch
            episode.doors = doors
        episode.cell = target
        episode.steps += 1
        if not simulation.visited[b, target]:
            simulation.visited[b, target] = 1
            episode.newest = episode.steps
        if end == HIT_MINE:
            episode.ended = DEATH_BY_MINE
        elif end == HIT_PATROL:
            episode.ended = DEATH_BY_PATROL
        elif target == maze.exit:
            episode.ended = SUCCESS
            reward += scale.exit
        elif episode.steps >= simulation.levels[b].max_steps:
            idle = episode.steps - episode.newest
            episode.ended = STUCK if _STUCK_SHARE * idle >= episode.steps else TIMEOUT
        if end != SAFE:
            reward += scale.death
        if scale.scale:
            # r + γ Φ(s') - Φ(s)
            reward += scale.gamma * _potential(simulation, scale, b, maze) - before
        rewards[b] = reward
    return NONE


@njit
def _potential(simulation, scale, b, maze):  # type: ignore[no-untyped-def]
    """Φ of the present state: scale (1 - steps to the exit / N); 0 where it is terminal or lost."""
    episode = simulation.episodes[b]
    if SUCCESS <= episode.ended <= DEATH_BY_PATROL:
        return 0.0
    index = state_index(maze, episode.cell, episode.doors, episode.steps % maze.period)
    left = simulation.steps[b, index]
    return 0.0 if left == LOST else scale.scale * (1.0 - left / maze.kinds.shape[0])


@njit(cache=True)
def planned_actions(simulation: Simulation, actions: NDArray[np.int64]) -> None:
    """Writes the planner's action in each episode, (B,)."""
    for b in range(actions.shape[0]):
        maze, episode = maze_of(simulation, b), simulation.episodes[b]
        phase = episode.steps % maze.period
        actions[b] = best_action(maze, simulation.steps[b], episode.cell, episode.doors, phase)
