"""Walls of generated levels, in numba: scattered, in dividing lines, or around winding corridors."""

from __future__ import annotations

import numpy as np
from numba import njit

from rayrl.envs.mine_maze.draws import below, between
from rayrl.envs.mine_maze.rules import EMPTY, WALL

_LEAST_ROOM = 2
"""Cells that a line of walls leaves on both sides."""


@njit
def scatter(state, kinds, percent):  # type: ignore[no-untyped-def]
    """Makes each floor cell a wall with a probability in percent."""
    for cell in range(kinds.shape[0]):
        if kinds[cell] == EMPTY and below(state, 100) < percent:
            kinds[cell] = WALL


@njit
def divide(state, kinds, rows, columns, lines):  # type: ignore[no-untyped-def]
    """Draws so many lines of walls, each through the largest room there is, and each with one gap."""
    rooms = np.zeros((8, 4), np.int64)
    rooms[0] = 0, 0, rows, columns
    count = 1
    for _ in range(lines):
        largest = 0
        for room in range(count):
            if _area(rooms[room]) > _area(rooms[largest]):
                largest = room
        top, left, height, width = rooms[largest]
        across = height > width or (height == width and below(state, 2) == 0)
        side, length = (height, width) if across else (width, height)
        if side < 2 * _LEAST_ROOM + 1:
            return
        for _ in range(8):
            at = between(state, _LEAST_ROOM, side - _LEAST_ROOM - 1)
            # A line that ends at a gap of an older one would close it.
            if across:
                first, step = (top + at) * columns + left, 1
                closes = (left > 0 and kinds[first - 1] != WALL) or (
                    left + width < columns and kinds[first + width] != WALL
                )
            else:
                first, step = top * columns + left + at, columns
                closes = (top > 0 and kinds[first - columns] != WALL) or (
                    top + height < rows and kinds[first + height * columns] != WALL
                )
            if not closes:
                break
        else:
            return
        gap = below(state, length)
        for i in range(length):
            if i != gap:
                kinds[first + i * step] = WALL
        if across:
            rooms[largest] = top, left, at, width
            rooms[count] = top + at + 1, left, height - at - 1, width
        else:
            rooms[largest] = top, left, height, at
            rooms[count] = top, left + at + 1, height, width - at - 1
        count += 1


@njit
def _area(room):  # type: ignore[no-untyped-def]
    return room[2] * room[3]


@njit
def wind(state, kinds, rows, columns, opened_percent):  # type: ignore[no-untyped-def]
    """Carves corridors by a depth-first walk over the cells of even rows and columns, and opens some walls.

    Rows and columns are odd. Without opened walls there is exactly one way between any two cells.
    """
    kinds[:] = WALL
    stack = np.empty(kinds.shape[0], np.int64)
    stack[0] = 2 * below(state, (rows + 1) // 2) * columns + 2 * below(state, (columns + 1) // 2)
    kinds[stack[0]] = EMPTY
    depth = 1
    while depth:
        row, column = stack[depth - 1] // columns, stack[depth - 1] % columns
        ways = 0
        chosen = -1
        for direction in range(4):
            there = _two_away(row, column, direction, rows, columns)
            if there >= 0 and kinds[there] == WALL:
                ways += 1
                if below(state, ways) == 0:
                    chosen = there
        if chosen < 0:
            depth -= 1
            continue
        kinds[(stack[depth - 1] + chosen) // 2] = EMPTY
        kinds[chosen] = EMPTY
        stack[depth] = chosen
        depth += 1
    for row in range(rows):
        for column in range(columns):
            between_two = (row + column) % 2 == 1
            if between_two and kinds[row * columns + column] == WALL and below(state, 100) < opened_percent:
                kinds[row * columns + column] = EMPTY


@njit
def _two_away(row, column, direction, rows, columns):  # type: ignore[no-untyped-def]
    row += 2 * (direction == 0) - 2 * (direction == 1)
    column += 2 * (direction == 2) - 2 * (direction == 3)
    if row < 0 or row >= rows or column < 0 or column >= columns:
        return -1
    return row * columns + column


@njit
def distances(kinds, rows, columns, origin, closed, found, queue):  # type: ignore[no-untyped-def]
    """Steps from a cell to every other over cells whose kind is not closed; -1 where there is no way.

    Args:
        kinds: (N,)
        rows: of the level.
        columns: of the level.
        origin: the cell.
        closed: (kinds,), which kinds of cells bar the way.
        found: written, (N,).
        queue: (N,), overwritten: the cells in order of their distance.

    Returns:
        How many cells there are.
    """
    found[:] = -1
    found[origin] = 0
    queue[0] = origin
    head, tail = 0, 1
    while head < tail:
        cell = queue[head]
        head += 1
        row, column = cell // columns, cell % columns
        for direction in range(4):
            there_row = row - (direction == 0) + (direction == 2)
            there_column = column + (direction == 1) - (direction == 3)
            if there_row < 0 or there_row >= rows or there_column < 0 or there_column >= columns:
                continue
            there = there_row * columns + there_column
            if found[there] < 0 and not closed[kinds[there]]:
                found[there] = found[cell] + 1
                queue[tail] = there
                tail += 1
    return tail
