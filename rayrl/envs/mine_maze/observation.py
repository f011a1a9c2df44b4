"""What an agent reads of its state in numbers, in numba: game state, reachability, and which moves move."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.mine_maze.rules import COLUMN_STEP, DOOR, MINE, ROW_STEP, SWITCH, WALL, moved
from rayrl.envs.mine_maze.simulator import Simulation, maze_of
from rayrl.envs.mine_maze.walls import distances

_SIDES = ("up", "right", "down", "left")

GAME_STATE = (
    "row",
    "column",
    "exit_rows",
    "exit_columns",
    "switch_rows",
    "switch_columns",
    "switches_left",
    "doors_open",
    "mine_distance",
    "time_left",
    "rows",
    "columns",
    *(f"wall_{side}" for side in _SIDES),
    *(f"door_{side}" for side in _SIDES),
    *(f"mine_{side}" for side in _SIDES),
    "mine_next_here",
    *(f"mine_next_{side}" for side in _SIDES),
    *(f"visited_{side}" for side in _SIDES),
)
"""Names in order; docs/mine_maze.md explains them."""

REACHABILITY = (
    "cells",
    "exit",
    "switches",
    "doors",
    "hazards",
    "connectivity",
    "exit_nearness",
    "switch_nearness",
)
"""Names in order."""


@njit(cache=True)
def write_game_state(simulation: Simulation, side: int, out: NDArray[np.float32]) -> None:
    """Writes the game state, (B, len(GAME_STATE)), in [-1, 1].

    Args:
        simulation: what to describe.
        side: rows and columns that the observation has room for: the unit of offsets.
        out: written.
    """
    out[:] = 0.0
    for b in range(out.shape[0]):
        maze, episode, values = maze_of(simulation, b), simulation.episodes[b], out[b]
        cells, columns = maze.kinds.shape[0], maze.columns
        row, column = episode.cell // columns, episode.cell % columns
        now = episode.steps % maze.period * cells
        later = (episode.steps + 1) % maze.period * cells
        values[0] = 2.0 * row / (maze.rows - 1) - 1.0
        values[1] = 2.0 * column / (columns - 1) - 1.0
        values[2] = (maze.exit // columns - row) / side
        values[3] = (maze.exit % columns - column) / side
        nearest_switch = nearest_mine = 2 * side
        for cell in range(cells):
            kind = maze.kinds[cell]
            apart = abs(cell // columns - row) + abs(cell % columns - column)
            if SWITCH <= kind < DOOR and not episode.doors >> (kind - SWITCH) & 1:
                values[6] += 1.0 / maze.doors
                if apart < nearest_switch:
                    nearest_switch = apart
                    values[4] = (cell // columns - row) / side
                    values[5] = (cell % columns - column) / side
            if maze.mined[now + cell] and apart < nearest_mine:
                nearest_mine = apart
        values[7] = 1.0 - values[6]
        values[8] = nearest_mine / (2 * side)
        values[9] = 1.0 - episode.steps / simulation.levels[b].max_steps
        values[10] = maze.rows / side
        values[11] = columns / side
        values[24] = maze.mined[later + episode.cell]
        for direction in range(4):
            there_row = row + ROW_STEP[direction + 1]
            there_column = column + COLUMN_STEP[direction + 1]
            if there_row < 0 or there_row >= maze.rows or there_column < 0 or there_column >= columns:
                values[12 + direction] = 1.0
                continue
            there = there_row * columns + there_column
            kind = maze.kinds[there]
            values[12 + direction] = kind == WALL
            values[16 + direction] = kind >= DOOR and not episode.doors >> (kind - DOOR) & 1
            values[20 + direction] = maze.mined[now + there]
            values[25 + direction] = maze.mined[later + there]
            values[29 + direction] = simulation.visited[b, there]


@njit(cache=True)
def write_reachability(simulation: Simulation, side: int, out: NDArray[np.float32]) -> None:
    """Writes the reachability, (B, len(REACHABILITY)), in [0, 1], with the doors as they are now.

    Mines that stay where they are bar the way, patrols do not.

    Args:
        simulation: what to describe.
        side: rows and columns that the observation has room for: the unit of distances.
        out: written.
    """
    out[:] = 0.0
    closed = np.zeros(256, np.bool_)
    for b in range(out.shape[0]):
        maze, episode, values = maze_of(simulation, b), simulation.episodes[b], out[b]
        cells = maze.kinds.shape[0]
        closed[:] = False
        closed[WALL] = closed[MINE] = True
        for door in range(maze.doors):
            closed[DOOR + door] = not episode.doors >> door & 1
        found, queue = np.empty(cells, np.int64), np.empty(cells, np.int64)
        reached = distances(maze.kinds, maze.rows, maze.columns, episode.cell, closed, found, queue)
        walkable = switches = switches_reached = hazards = hazards_reached = 0
        exit_cell, doors_closed, doors_reached = maze.exit, 0, 0
        nearest_switch = 2 * side
        for cell in range(cells):
            kind = maze.kinds[cell]
            if kind == WALL:
                continue
            walkable += 1
            touched = found[cell] >= 0 or _beside_reached(maze, found, cell)
            if SWITCH <= kind < DOOR and not episode.doors >> (kind - SWITCH) & 1:
                switches += 1
                if found[cell] >= 0:
                    switches_reached += 1
                    nearest_switch = min(nearest_switch, _apart(cell, episode.cell, maze.columns))
            if closed[kind] and kind >= DOOR:
                doors_closed += 1
                doors_reached += touched
            hazard = kind == MINE
            for phase in range(maze.period):
                hazard |= maze.mined[phase * cells + cell] == 1
            hazards += hazard
            hazards_reached += hazard and touched
        values[0] = reached / walkable
        values[1] = found[exit_cell] >= 0
        values[2] = switches_reached / switches if switches else 1.0
        values[3] = doors_reached / doors_closed if doors_closed else 1.0
        values[4] = hazards_reached / hazards if hazards else 0.0
        values[6] = 1.0 - _apart(exit_cell, episode.cell, maze.columns) / (2 * side)
        values[7] = 1.0 - nearest_switch / (2 * side)
        values[5] = 1.0 / _parts(maze, closed, found, queue)


@njit
def _parts(maze, closed, found, queue):  # type: ignore[no-untyped-def]
    """Into how many parts walls, mines and closed doors cut the level; overwrites ``found`` and ``queue``."""
    cells = maze.kinds.shape[0]
    seen = np.zeros(cells, np.bool_)
    parts = 0
    for cell in range(cells):
        if closed[maze.kinds[cell]] or seen[cell]:
            continue
        parts += 1
        reached = distances(maze.kinds, maze.rows, maze.columns, cell, closed, found, queue)
        for i in range(reached):
            seen[queue[i]] = True
    return parts


@njit
def _beside_reached(maze, found, cell):  # type: ignore[no-untyped-def]
    row, column = cell // maze.columns, cell % maze.columns
    return (
        (row > 0 and found[cell - maze.columns] >= 0)
        or (row + 1 < maze.rows and found[cell + maze.columns] >= 0)
        or (column > 0 and found[cell - 1] >= 0)
        or (column + 1 < maze.columns and found[cell + 1] >= 0)
    )


@njit
def _apart(cell, other, columns):  # type: ignore[no-untyped-def]
    return abs(cell // columns - other // columns) + abs(cell % columns - other % columns)


@njit(cache=True)
def write_action_mask(simulation: Simulation, out: NDArray[np.int8]) -> None:
    """Writes which actions do something, (B, 5): 0 where a wall, a closed door or the edge is."""
    for b in range(out.shape[0]):
        maze, episode = maze_of(simulation, b), simulation.episodes[b]
        out[b, 0] = 1
        for action in range(1, 5):
            out[b, action] = moved(maze, episode.cell, episode.doors, action) != episode.cell
