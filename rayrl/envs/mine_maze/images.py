"""Small grey pictures of a level, in numba: the cells around the agent, and all of it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.mine_maze.rules import DOOR, EXIT, SWITCH, WALL
from rayrl.envs.mine_maze.simulator import Simulation, maze_of

FRAME_CELLS = 7
"""Rows and columns of the frame, with the agent in the middle."""
FRAME_SCALE = 4
"""Pixels of a cell's side in the frame,"""
VIEW_SCALE = 3
"""and in the view of the whole level."""

OUTSIDE, GREY_WALL, GREY_DOOR, GREY_SWITCH, GREY_MINE, GREY_FLOOR, GREY_MINE_NEXT, GREY_EXIT, GREY_AGENT = (
    0,
    32,
    64,
    96,
    128,
    160,
    192,
    224,
    255,
)
"""Outside the level, walls, closed doors, switches not pressed yet, mines, floor (also open doors and pressed
switches), floor where a mine will be after the next step, the exit, the agent."""


@njit
def _grey(simulation, b, maze, cell):  # type: ignore[no-untyped-def]
    episode, kind = simulation.episodes[b], maze.kinds[cell]
    cells = maze.kinds.shape[0]
    if cell == episode.cell:
        return GREY_AGENT
    if maze.mined[episode.steps % maze.period * cells + cell]:
        return GREY_MINE
    if maze.mined[(episode.steps + 1) % maze.period * cells + cell]:
        return GREY_MINE_NEXT
    if kind == WALL:
        return GREY_WALL
    if kind == EXIT:
        return GREY_EXIT
    if kind >= DOOR and not episode.doors >> (kind - DOOR) & 1:
        return GREY_DOOR
    if SWITCH <= kind < DOOR and not episode.doors >> (kind - SWITCH) & 1:
        return GREY_SWITCH
    return GREY_FLOOR


@njit(cache=True)
def write_frames(simulation: Simulation, out: NDArray[np.uint8]) -> None:
    """Writes the cells around each agent, (B, FRAME_CELLS * FRAME_SCALE, the same, 1)."""
    reach = FRAME_CELLS // 2
    for b in range(out.shape[0]):
        maze, agent = maze_of(simulation, b), simulation.episodes[b].cell
        for i in range(FRAME_CELLS):
            for j in range(FRAME_CELLS):
                row, column = agent // maze.columns + i - reach, agent % maze.columns + j - reach
                grey = OUTSIDE
                if 0 <= row < maze.rows and 0 <= column < maze.columns:
                    grey = _grey(simulation, b, maze, row * maze.columns + column)
                _fill(out[b], i, j, FRAME_SCALE, grey)


@njit(cache=True)
def write_views(simulation: Simulation, out: NDArray[np.uint8]) -> None:
    """Writes each level from the upper left corner on, (B, side * VIEW_SCALE, the same, 1)."""
    out[:] = OUTSIDE
    for b in range(out.shape[0]):
        maze = maze_of(simulation, b)
        for cell in range(maze.kinds.shape[0]):
            grey = _grey(simulation, b, maze, cell)
            _fill(out[b], cell // maze.columns, cell % maze.columns, VIEW_SCALE, grey)


@njit
def _fill(image, i, j, scale, grey):  # type: ignore[no-untyped-def]
    for y in range(i * scale, (i + 1) * scale):
        for x in range(j * scale, (j + 1) * scale):
            image[y, x, 0] = grey
