"""Levels as colour pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayrl.envs.mine_maze.rules import DOOR, EXIT, SPAWN, SWITCH, WALL, Maze
from rayrl.envs.mine_maze.simulator import DEATH_BY_MINE, DEATH_BY_PATROL

TILE = 24
"""Pixels of a cell's side."""

_Colour = tuple[int, int, int]
_FLOOR: _Colour = (240, 238, 232)
_LINE: _Colour = (222, 218, 208)
_WALL: _Colour = (66, 72, 86)
_START: _Colour = (206, 214, 226)
_EXIT: _Colour = (46, 160, 98)
_MINE: _Colour = (200, 52, 48)
_PATROL: _Colour = (226, 110, 30)
_AGENT: _Colour = (38, 98, 200)
_PAIRS: tuple[_Colour, ...] = ((142, 68, 173), (0, 150, 160), (190, 140, 0))
"""Of each switch and its door."""

_ACROSS = (np.arange(TILE) + 0.5) / TILE * 2 - 1
_RADIUS = np.hypot(_ACROSS[:, None], _ACROSS[None, :])
_BOX = np.maximum(np.abs(_ACROSS)[:, None], np.abs(_ACROSS)[None, :])


def draw(maze: Maze, episode: np.void) -> NDArray[np.uint8]:
    """The level and the agent of an episode, a record of ``EPISODE``; (rows * TILE, columns * TILE, 3).

    Discs are mines (red: still, orange: moving, with a ring where it goes next) and the agent (blue, dark
    where it died). The green frame is the exit. Squares are switches, barred cells closed doors of the same
    colour.
    """
    cells = len(maze.kinds)
    image = np.empty((maze.rows * TILE, maze.columns * TILE, 3), np.uint8)
    now, later = (int(episode["steps"] + ahead) % maze.period for ahead in (0, 1))
    for cell in range(cells):
        row, column = divmod(cell, maze.columns)
        tile = image[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        _cell(tile, int(maze.kinds[cell]), int(episode["doors"]))
        still = maze.mined[now * cells + cell] and cell not in maze.patrols[now]
        if still:
            tile[_RADIUS < 0.6] = _MINE
        if cell in maze.patrols[later]:
            tile[(_RADIUS > 0.5) & (_RADIUS < 0.65)] = _PATROL
        if cell in maze.patrols[now]:
            tile[_RADIUS < 0.6] = _PATROL
        if cell == episode["cell"]:
            dead = episode["ended"] in (DEATH_BY_MINE, DEATH_BY_PATROL)
            tile[_RADIUS < 0.75] = (20, 20, 20) if dead else _AGENT
            tile[_RADIUS < 0.25] = _FLOOR
    return image


def _cell(tile: NDArray[np.uint8], kind: int, open_doors: int) -> None:
    tile[:] = _WALL if kind == WALL else _FLOOR
    if kind == WALL:
        return
    tile[0], tile[:, 0] = _LINE, _LINE
    if kind == SPAWN:
        tile[_BOX < 0.8] = _START
    elif kind == EXIT:
        tile[(_BOX > 0.5) & (_BOX < 0.95)] = _EXIT
    elif kind >= DOOR:
        colour, opened = _PAIRS[kind - DOOR], open_doors >> (kind - DOOR) & 1
        tile[_BOX > 0.85] = colour
        if not opened:
            tile[:, TILE // 6 :: TILE // 4] = colour
            tile[:, TILE // 6 + 1 :: TILE // 4] = colour
    elif kind >= SWITCH:
        colour, used = _PAIRS[kind - SWITCH], open_doors >> (kind - SWITCH) & 1
        tile[(_BOX < 0.55) & ((0.4 if used else -1.0) < _BOX)] = colour
