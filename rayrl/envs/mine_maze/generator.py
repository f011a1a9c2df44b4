"""Levels from a category and a seed, each proved solvable by the planner.

    walls ─▶ start, exit ─▶ doors ─▶ switches ─▶ mines ─▶ patrols ─▶ plan: a way that is long enough?
      ▲                                                                  │ no: the next attempt
      └──────────────────────────────────────────────────────────────────┘

A door stands where all ways from start to exit go through, and its switch where it can be reached before. The
numbers drawn depend on version, category, seed and attempt alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.mine_maze.categories import (
    CODES,
    MOST_DOORS,
    MOST_PATROLS,
    RECIPES,
    WINDING,
    Recipe,
)
from rayrl.envs.mine_maze.draws import below, between, stream
from rayrl.envs.mine_maze.level import MOST_CELLS, Level
from rayrl.envs.mine_maze.rules import (
    DOOR,
    EMPTY,
    EXIT,
    LONGEST_PATROL,
    MINE,
    SPAWN,
    SWITCH,
    WALL,
)
from rayrl.envs.mine_maze.walls import distances, divide, scatter, wind
from rayrl.errors import DataError

VERSION = 1
"""Of what the generator makes: the same version, category and seed give the same level."""
SEEDS = 1 << 64
"""Seeds that there are."""
_MOST_ATTEMPTS = 10_000
_KINDS = DOOR + MOST_DOORS

_kinds = np.empty(MOST_CELLS, np.uint8)
_paths = np.empty((MOST_PATROLS, LONGEST_PATROL), np.int64)
_lengths = np.empty(MOST_PATROLS, np.int64)
_state = np.empty(1, np.uint64)


def generate_level(category: str, seed: int) -> Level:
    """The level of a category and a seed in [0, 2⁶⁴).

    Raises:
        DataError: no attempt came to a level that can be solved.
    """
    recipe = RECIPES[category]
    words = np.array([VERSION, CODES[category], seed, 0], np.uint64)
    for attempt in range(_MOST_ATTEMPTS):
        words[3] = attempt
        stream(words, _state)
        rows, columns = _draft(recipe, _state, _kinds, _paths, _lengths)
        if not rows:
            continue
        patrols = [_paths[k, : _lengths[k]].tolist() for k in range(MOST_PATROLS) if _lengths[k]]
        level = Level.of(category, seed, _kinds[: rows * columns].copy(), columns, patrols)
        if level.optimal_steps >= recipe.least_steps:
            return level
    raise DataError(f"no level of {category} with seed {seed} can be solved")


def check_seed(level: Level, where: str) -> None:
    """Makes sure that a level is what its seed gives; one that was written by hand has none.

    Raises:
        DataError: it is another one.
    """
    if level.seed is not None and generate_level(level.category, level.seed).sha256 != level.sha256:
        raise DataError(f"is not what the generator makes from seed {level.seed}", where=where)


@njit(cache=True)
def _draft(
    recipe: Recipe,
    state: NDArray[np.uint64],
    all_kinds: NDArray[np.uint8],
    paths: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> tuple[int, int]:
    """Writes a level for the planner to judge; gives its rows and columns, or 0 where it came to none."""
    rows = between(state, recipe.least_side, recipe.most_side)
    columns = between(state, recipe.least_side, recipe.most_side)
    doors = between(state, recipe.least_doors, recipe.most_doors)
    if recipe.style == WINDING:
        rows, columns = rows | 1, columns | 1
    kinds = all_kinds[: rows * columns]
    kinds[:] = EMPTY
    scattered = between(state, recipe.least_scattered, recipe.most_scattered)
    if recipe.style == WINDING:
        wind(state, kinds, rows, columns, scattered)
    else:
        lines = between(state, recipe.least_lines, recipe.most_lines)
        divide(state, kinds, rows, columns, max(lines, doors))
        scatter(state, kinds, scattered)
    found = np.empty(kinds.shape[0], np.int64)
    queue = np.empty(kinds.shape[0], np.int64)
    spawn = _place_ends(recipe, state, kinds, rows, columns, found, queue)
    if spawn < 0 or not _place_doors(state, kinds, rows, columns, spawn, doors, found, queue):
        return 0, 0
    mines = between(state, recipe.least_mines, recipe.most_mines)
    if not _place_mines(state, kinds, rows, columns, spawn, mines, doors, found, queue):
        return 0, 0
    patrols = between(state, recipe.least_patrols, recipe.most_patrols)
    if not _place_patrols(state, kinds, rows, columns, spawn, patrols, paths, lengths):
        return 0, 0
    return rows, columns


@njit
def _place_ends(recipe, state, kinds, rows, columns, found, queue):  # type: ignore[no-untyped-def]
    """Places start and exit, and walls up what cannot be reached; gives the start, or -1."""
    spawn = _random_floor(state, kinds)
    if spawn < 0:
        return -1
    closed = _closed_kinds(0, False)
    reached = distances(kinds, rows, columns, spawn, closed, found, queue)
    if 2 * reached < (kinds == EMPTY).sum():
        return -1
    for cell in range(kinds.shape[0]):
        if found[cell] < 0:
            kinds[cell] = WALL
    farthest = found[queue[reached - 1]]
    least = max(farthest * recipe.far_percent // 100, min(recipe.least_steps, farthest), 1)
    first = 0
    while found[queue[first]] < least:
        first += 1
    kinds[queue[first + below(state, reached - first)]] = EXIT
    kinds[spawn] = SPAWN
    return spawn


@njit
def _place_doors(state, kinds, rows, columns, spawn, doors, found, queue):  # type: ignore[no-untyped-def]
    """Places doors where every way to the exit goes through, and each one's switch before it."""
    if doors == 0:
        return True
    everything_open = _closed_kinds(0, False)
    reached = distances(kinds, rows, columns, spawn, everything_open, found, queue)
    exit_cell = np.int64(-1)
    for i in range(reached):
        if kinds[queue[i]] == EXIT:
            exit_cell = queue[i]
    length = found[exit_cell]
    path = np.empty(length + 1, np.int64)
    path[length] = exit_cell
    for at in range(length - 1, -1, -1):
        path[at] = _cell_before(found, path[at + 1], rows, columns)
    narrow = np.empty(length + 1, np.int64)
    count = 0
    for at in range(2, length):
        kinds[path[at]] = WALL
        distances(kinds, rows, columns, spawn, everything_open, found, queue)
        kinds[path[at]] = EMPTY
        if found[exit_cell] < 0:
            narrow[count] = at
            count += 1
    chosen = np.zeros(doors, np.int64)
    for door in range(doors):
        for _ in range(8):
            if count == 0:
                return False
            at = narrow[below(state, count)]
            apart = True
            for other in range(door):
                apart &= abs(chosen[other] - at) > 2
            if apart:
                chosen[door] = at
                break
        else:
            return False
    chosen.sort()
    for door in range(doors):
        kinds[path[chosen[door]]] = DOOR + door
    for door in range(doors):
        reached = distances(kinds, rows, columns, spawn, _closed_kinds(door, False), found, queue)
        placed = False
        for _ in range(8):
            cell = queue[below(state, reached)]
            if kinds[cell] == EMPTY:
                kinds[cell] = SWITCH + door
                placed = True
                break
        if not placed:
            return False
    return True


@njit
def _place_mines(state, kinds, rows, columns, spawn, mines, doors, found, queue):  # type: ignore[no-untyped-def]
    """Places mines, each so that exit and switches can still be reached without a step on one."""
    closed = _closed_kinds(MOST_DOORS, True)
    for _ in range(mines):
        placed = False
        for _ in range(6):
            cell = _random_floor(state, kinds)
            if cell < 0 or _apart(cell, spawn, columns) < 2:
                continue
            kinds[cell] = MINE
            distances(kinds, rows, columns, spawn, closed, found, queue)
            if _all_reached(kinds, found):
                placed = True
                break
            kinds[cell] = EMPTY
        if not placed:
            return False
    return True


@njit
def _all_reached(kinds, found):  # type: ignore[no-untyped-def]
    for cell in range(kinds.shape[0]):
        kind = kinds[cell]
        if (kind == EXIT or SWITCH <= kind < DOOR) and found[cell] < 0:
            return False
    return True


@njit
def _place_patrols(state, kinds, rows, columns, spawn, patrols, paths, lengths):  # type: ignore[no-untyped-def]
    """Places patrols on straight or bent paths of 3 or 4 floor cells that do not touch the start."""
    lengths[:] = 0
    for k in range(patrols):
        for _ in range(24):
            length = between(state, 3, LONGEST_PATROL)
            direction = below(state, 4)
            turn_at = between(state, 2, length + 1)
            turn = 1 + 2 * below(state, 2)
            cell = _random_floor(state, kinds)
            fits = 0
            while cell >= 0 and kinds[cell] == EMPTY and _apart(cell, spawn, columns) > 1:
                if _on_path(paths, lengths, k, cell):
                    break
                paths[k, fits] = cell
                fits += 1
                if fits == length:
                    break
                if fits == turn_at:
                    direction = (direction + turn) % 4
                row = cell // columns - (direction == 0) + (direction == 2)
                column = cell % columns + (direction == 1) - (direction == 3)
                inside = 0 <= row < rows and 0 <= column < columns
                cell = row * columns + column if inside else -1
            if fits == length:
                lengths[k] = length
                break
        if lengths[k] == 0:
            return False
    return True


@njit
def _on_path(paths, lengths, count, cell):  # type: ignore[no-untyped-def]
    for k in range(count):
        for i in range(lengths[k]):
            if paths[k, i] == cell:
                return True
    return False


@njit
def _random_floor(state, kinds):  # type: ignore[no-untyped-def]
    """A cell of the floor; -1 where some tries found none."""
    for _ in range(64):
        cell = below(state, kinds.shape[0])
        if kinds[cell] == EMPTY:
            return cell
    return -1


@njit
def _apart(cell, other, columns):  # type: ignore[no-untyped-def]
    return abs(cell // columns - other // columns) + abs(cell % columns - other % columns)


@njit
def _cell_before(found, cell, rows, columns):  # type: ignore[no-untyped-def]
    """A neighbour that is one step nearer to where distances were counted from."""
    row, column = cell // columns, cell % columns
    if row > 0 and found[cell - columns] == found[cell] - 1:
        return cell - columns
    if column + 1 < columns and found[cell + 1] == found[cell] - 1:
        return cell + 1
    if row + 1 < rows and found[cell + columns] == found[cell] - 1:
        return cell + columns
    return cell - 1


@njit
def _closed_kinds(open_doors, mines):  # type: ignore[no-untyped-def]
    """Which kinds bar the way: walls, all doors but the first ones, and mines where asked for."""
    closed = np.zeros(_KINDS, np.bool_)
    closed[WALL] = True
    closed[MINE] = mines
    closed[DOOR + open_doors :] = True
    return closed
