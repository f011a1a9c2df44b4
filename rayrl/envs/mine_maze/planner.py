"""The planner: the fewest steps to the exit from every state, by breadth-first search backwards."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.mine_maze.rules import (
    COLUMN_STEP,
    DOOR,
    MINE,
    ROW_STEP,
    SAFE,
    STAY,
    SWITCH,
    WALL,
    Maze,
    moved,
    outcome,
    pressed,
)

LOST = -1
"""Steps from a state from which there is no way."""


@njit
def state_index(maze, cell, doors, phase):  # type: ignore[no-untyped-def]
    """Where a state stands in the table of steps."""
    return (doors * maze.period + phase) * maze.kinds.shape[0] + cell


@njit(cache=True)
def plan(maze: Maze, steps: NDArray[np.int16], queue: NDArray[np.int32]) -> int:
    """Fills the table of steps to the exit, and gives those from the start.

    Args:
        maze: the level.
        steps: written, at least (2^doors * period * N,): by ``state_index``; ``LOST`` where there is no way.
        queue: as long, or longer; overwritten.
    """
    cells = maze.kinds.shape[0]
    states = (1 << maze.doors) * maze.period * cells
    steps[:states] = LOST
    head = tail = 0
    for doors in range(1 << maze.doors):
        for phase in range(maze.period):
            queue[tail] = state_index(maze, maze.exit, doors, phase)
            steps[queue[tail]] = 0
            tail += 1
    while head < tail:
        index = queue[head]
        head += 1
        cell = index % cells
        phase = index // cells % maze.period
        doors = index // cells // maze.period
        before = (phase - 1) % maze.period
        kind = maze.kinds[cell]
        is_switch = SWITCH <= kind < DOOR
        if is_switch and not doors >> (kind - SWITCH) & 1:
            continue  # nobody stands on a switch that is not pressed
        for action in range(5):
            origin = _neighbour(maze, cell, action)
            if origin < 0 or origin == maze.exit:
                continue
            origin_kind = maze.kinds[origin]
            if origin_kind in (WALL, MINE) or outcome(maze, origin, cell, before) != SAFE:
                continue
            if maze.mined[before * cells + origin]:
                continue
            unpressed = doors & ~(1 << (kind - SWITCH)) if is_switch and origin != cell else doors
            for earlier in (doors, unpressed):
                if origin_kind >= DOOR and not earlier >> (origin_kind - DOOR) & 1:
                    continue
                if kind >= DOOR and not earlier >> (kind - DOOR) & 1:
                    continue
                found = state_index(maze, origin, earlier, before)
                if steps[found] == LOST:
                    steps[found] = steps[index] + 1
                    queue[tail] = found
                    tail += 1
    return int(steps[state_index(maze, maze.spawn, 0, 0)])


@njit
def _neighbour(maze, cell, action):  # type: ignore[no-untyped-def]
    """The cell that lies where an action points, whatever it is; -1 outside."""
    row = cell // maze.columns + ROW_STEP[action]
    column = cell % maze.columns + COLUMN_STEP[action]
    if row < 0 or row >= maze.rows or column < 0 or column >= maze.columns:
        return -1
    return row * maze.columns + column


@njit
def best_action(maze, steps, cell, doors, phase):  # type: ignore[no-untyped-def]
    """The action on a shortest way, first of equals (up, right, down, left, stay); stay if there is none."""
    best, fewest = STAY, np.int64(np.iinfo(np.int64).max)
    for turn in range(1, 6):
        action = turn % 5
        target = moved(maze, cell, doors, action)
        if target == cell and action != STAY:
            continue  # the action mask forbids it
        if outcome(maze, cell, target, phase) != SAFE:
            continue
        after = pressed(maze, target, doors)
        left = steps[state_index(maze, target, after, (phase + 1) % maze.period)]
        if left != LOST and left < fewest:
            best, fewest = action, left
    return best
