"""The rules of a level, in numba: what a cell is, where patrols are, and what an action does.

A state is (cell, doors, phase): where the agent is, which doors are open (bit i: door i), and the time modulo
the period of the level's patrols. Cells count row by row.

Numba caches what it compiles by the file of the outermost function: whoever changes a rule here deletes the
``__pycache__`` folder.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.mine_maze.categories import MOST_DOORS, MOST_PATROLS, PERIOD

EMPTY, WALL, EXIT, SPAWN, MINE = range(5)
SWITCH = 5
"""Kind of the cell with switch 0; switch i is ``SWITCH + i``."""
DOOR = SWITCH + MOST_DOORS
"""Kind of the cell with door 0; switch i opens door i for good."""

STAY, UP, RIGHT, DOWN, LEFT = ACTIONS = range(5)
ROW_STEP = np.array([0, -1, 0, 1, 0])
COLUMN_STEP = np.array([0, 0, 1, 0, -1])
"""What each action adds to row and column."""

SAFE, HIT_MINE, HIT_PATROL = range(3)
"""How a step ends."""

LONGEST_PATROL = 4
"""Cells of a patrol's path."""
DOOR_STATES = 1 << MOST_DOORS


class Maze(NamedTuple):
    """A level as the simulation reads it. N = rows * columns; T = period."""

    kinds: NDArray[np.uint8]
    """(N,)"""
    rows: int
    columns: int
    spawn: int
    """The cell where an episode begins."""
    exit: int
    """The cell where it ends well."""
    doors: int
    """How many there are; as many switches."""
    period: int
    patrols: NDArray[np.int16]
    """(T, MOST_PATROLS): the cell of each patrol in each phase; -1 where there are fewer."""
    mined: NDArray[np.uint8]
    """(T * N,), phase by phase: 1 where a mine is, still or moving."""


@njit
def moved(maze, cell, doors, action):  # type: ignore[no-untyped-def]
    """The cell to which an action leads: the same where a wall, a closed door or the level's edge is."""
    row = cell // maze.columns + ROW_STEP[action]
    column = cell % maze.columns + COLUMN_STEP[action]
    if row < 0 or row >= maze.rows or column < 0 or column >= maze.columns:
        return cell
    target = row * maze.columns + column
    kind = maze.kinds[target]
    if kind == WALL or (kind >= DOOR and not doors >> (kind - DOOR) & 1):
        return cell
    return target


@njit
def pressed(maze, cell, doors):  # type: ignore[no-untyped-def]
    """The open doors after stepping on a cell."""
    kind = maze.kinds[cell]
    return doors | 1 << (kind - SWITCH) if SWITCH <= kind < DOOR else doors


@njit
def outcome(maze, cell, target, phase):  # type: ignore[no-untyped-def]
    """How the step from a cell in a phase to the target, where the agent is one phase later, ends."""
    if maze.kinds[target] == MINE:
        return HIT_MINE
    later = (phase + 1) % maze.period
    if maze.mined[later * maze.kinds.shape[0] + target]:
        return HIT_PATROL
    if target != cell:
        for k in range(MOST_PATROLS):
            if maze.patrols[phase, k] == target and maze.patrols[later, k] == cell:
                return HIT_PATROL
    return SAFE


@njit(cache=True)
def schedule(
    kinds: NDArray[np.uint8],
    paths: NDArray[np.int64],
    lengths: NDArray[np.int64],
    patrols: NDArray[np.int16],
    mined: NDArray[np.uint8],
) -> int:
    """Where the mines of a level are in each phase; gives the period.

    A patrol goes along its path and back, a cell a step.

    Args:
        kinds: (N,)
        paths: (MOST_PATROLS, LONGEST_PATROL), the cells of each patrol.
        lengths: (MOST_PATROLS,), how many cells each path has; 0 where there is no patrol.
        patrols: written, (PERIOD, MOST_PATROLS).
        mined: written, (PERIOD * N,).
    """
    period, cells = 1, kinds.shape[0]
    for k in range(MOST_PATROLS):
        turn = max(2 * (lengths[k] - 1), 1)
        a, b = period, turn
        while b:
            a, b = b, a % b
        period = period // a * turn
    assert period <= PERIOD
    for phase in range(period):
        for cell in range(cells):
            mined[phase * cells + cell] = kinds[cell] == MINE
        for k in range(MOST_PATROLS):
            patrols[phase, k] = -1
            if lengths[k]:
                turn = max(2 * (lengths[k] - 1), 1)
                at = phase % turn
                patrols[phase, k] = paths[k, at if at < lengths[k] else turn - at]
                mined[phase * cells + patrols[phase, k]] = 1
    return period
