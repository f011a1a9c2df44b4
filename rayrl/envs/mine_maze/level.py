"""A level: its canonical text, its hash, what the simulation reads of it, and the planner's table.

    #.a.        . floor      # wall          S start      E exit      * mine
    S.A*        a b c switches, which open the doors A B C
    ...E
    0,2 DL      a patrol that begins in row 0, column 2, goes down, then left, and back

The rows are the level's text, a line for each patrol follows them, in alphabetical order. The SHA-256 of
these lines is the level's identity, and decides whether it is a level for training or for tests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rayrl.envs.mine_maze.categories import MOST_DOORS, MOST_PATROLS, PERIOD, RECIPES, Room
from rayrl.envs.mine_maze.planner import plan
from rayrl.envs.mine_maze.rules import (
    COLUMN_STEP,
    DOOR,
    DOOR_STATES,
    EMPTY,
    EXIT,
    LONGEST_PATROL,
    MINE,
    ROW_STEP,
    SPAWN,
    SWITCH,
    Maze,
    schedule,
)
from rayrl.errors import DataError

CHARACTERS = ".#ES*abcABC"
"""By kind of cell."""
MOVES = " URDL"
"""By action."""
MOST_SIDE = max(recipe.most_side for recipe in RECIPES.values())
MOST_CELLS = MOST_SIDE**2
TEST_SHARE = 5
"""One level in so many is a level for tests."""

_BYTES = np.frombuffer(CHARACTERS.encode(), np.uint8)
_PATROL = re.compile(r"(\d+),(\d+) ([URDL]+)")
_queue = np.empty(DOOR_STATES * PERIOD * MOST_CELLS, np.int32)


@dataclass(frozen=True, eq=False)
class Level:
    """A level of a category.

    Args:
        category: its name.
        seed: from which the generator made it; None where it was written by hand.
        content: the rows of its text, then its patrols.
        maze: what the simulation reads.
        steps: by ``planner.state_index``: fewest steps to the exit, ``LOST`` where there is no way.
    """

    category: str
    seed: int | None
    content: tuple[str, ...]
    maze: Maze
    steps: NDArray[np.int16]

    @classmethod
    def of(
        cls,
        category: str,
        seed: int | None,
        kinds: NDArray[np.uint8],
        columns: int,
        patrols: Sequence[Sequence[int]],
    ) -> Self:
        """The level with these cells (rows * columns,), and patrols with these paths."""
        text = _BYTES[kinds].tobytes().decode()
        rows = [text[start : start + columns] for start in range(0, len(text), columns)]
        named = sorted((_patrol_text(path, columns), path) for path in patrols)
        maze, steps = _planned(kinds, columns, [path for _, path in named])
        return cls(category, seed, (*rows, *(line for line, _ in named)), maze, steps)

    @classmethod
    def parse(cls, category: str, content: Sequence[str], *, seed: int | None = None, where: str) -> Self:
        """The level with that content.

        Raises:
            DataError: naming the row or the patrol that is wrong, or what the category has less of.
        """
        rows = [line for line in content if "," not in line]
        _check_rows(rows, where)
        kinds = np.array([CHARACTERS.index(c) for row in rows for c in row], np.uint8)
        lines = [line for line in content if "," in line]
        if len(lines) > MOST_PATROLS:
            raise DataError(f"{len(lines)} patrols; a level has {MOST_PATROLS} at most", where=where)
        patrols = [_path(line, kinds, len(rows[0]), where) for line in lines]
        level = cls.of(category, seed, kinds, len(rows[0]), patrols)
        level._check(where)
        if level.content != tuple(content):
            raise DataError(
                "the patrols stand between the rows or in another order",
                where=where,
                remedy=f"the rows, then {list(level.content[len(rows) :])}",
            )
        return level

    @cached_property
    def sha256(self) -> str:
        """Of the content, lines joined by line feeds, as hexadecimal digits."""
        return hashlib.sha256("\n".join(self.content).encode()).hexdigest()

    @property
    def split(self) -> str:
        """``test`` where the hash, as a number, is a multiple of ``TEST_SHARE``; else ``train``."""
        return "test" if int(self.sha256, 16) % TEST_SHARE == 0 else "train"

    @property
    def optimal_steps(self) -> int:
        """Steps of the shortest safe way from start to exit; ``LOST`` where there is none."""
        return int(self.steps[self.maze.spawn])

    @property
    def mines(self) -> int:
        """Mines that stay where they are."""
        return int((self.maze.kinds == MINE).sum())

    @property
    def patrols(self) -> int:
        """Mines that move."""
        return len(self.content) - self.maze.rows

    @property
    def difficulty(self) -> float:
        """A number to order levels by, about 1 to 25.

        steps / 4 + 2 doors + mines / 4 + patrols, with the steps of the shortest safe way.
        """
        return self.optimal_steps / 4 + 2 * self.maze.doors + self.mines / 4 + self.patrols

    def _check(self, where: str) -> None:
        """Refuses what observations of the category have no room for."""
        room = Room.of([self.category])
        for what, has, most in (
            ("rows", self.maze.rows, room.side),
            ("columns", self.maze.columns, room.side),
            ("doors", self.maze.doors, room.doors),
        ):
            if has > most:
                raise DataError(f"{has} {what}; a level of {self.category} has {most} at most", where=where)


def _planned(
    kinds: NDArray[np.uint8], columns: int, patrols: Sequence[Sequence[int]]
) -> tuple[Maze, NDArray[np.int16]]:
    paths = np.zeros((MOST_PATROLS, LONGEST_PATROL), np.int64)
    lengths = np.zeros(MOST_PATROLS, np.int64)
    for k, path in enumerate(patrols):
        paths[k, : len(path)], lengths[k] = path, len(path)
    at = np.empty((PERIOD, MOST_PATROLS), np.int16)
    mined = np.empty(PERIOD * len(kinds), np.uint8)
    period = schedule(kinds, paths, lengths, at, mined)
    maze = Maze(
        kinds=kinds,
        rows=len(kinds) // columns,
        columns=columns,
        spawn=int(np.flatnonzero(kinds == SPAWN)[0]),
        exit=int(np.flatnonzero(kinds == EXIT)[0]),
        doors=int((kinds >= DOOR).sum()),
        period=period,
        patrols=at,
        mined=mined,
    )
    steps = np.empty((1 << maze.doors) * period * len(kinds), np.int16)
    plan(maze, steps, _queue)
    return maze, steps


def _patrol_text(path: Sequence[int], columns: int) -> str:
    offsets = (ROW_STEP * columns + COLUMN_STEP).tolist()
    steps = "".join(MOVES[offsets.index(after - before)] for before, after in pairwise(path))
    return f"{path[0] // columns},{path[0] % columns} {steps}"


def _check_rows(rows: Sequence[str], where: str) -> None:
    if not rows or not rows[0]:
        raise DataError("has no rows", where=where)
    if not 2 <= min(len(rows), len(rows[0])) <= max(len(rows), len(rows[0])) <= MOST_SIDE:
        raise DataError(
            f"{len(rows)} rows of {len(rows[0])} cells; a level has 2 to {MOST_SIDE} of both", where=where
        )
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise DataError(f"row {number} has {len(row)} cells, row 0 {len(rows[0])}", where=where)
        if strange := set(row) - set(CHARACTERS):
            raise DataError(
                f"row {number} has a cell {min(strange)!r}", where=where, remedy=f"cells are {CHARACTERS}"
            )
    text = "".join(rows)
    for cell, name in (("S", "start"), ("E", "exit")):
        if text.count(cell) != 1:
            raise DataError(f"{text.count(cell)} cells {cell!r}; a level has one {name}", where=where)
    doors = text.count("A") + text.count("B") + text.count("C")
    for i in range(MOST_DOORS):
        switch, door = CHARACTERS[SWITCH + i], CHARACTERS[DOOR + i]
        if (text.count(switch), text.count(door)) != ((1, 1) if i < doors else (0, 0)):
            raise DataError(
                f"{text.count(switch)} switches {switch!r} and {text.count(door)} doors {door!r}",
                where=where,
                remedy="doors are A, B, C in turn, each once and each with its switch",
            )


def _path(line: str, kinds: NDArray[np.uint8], columns: int, where: str) -> list[int]:
    """The cells of a patrol."""
    found = _PATROL.fullmatch(line)
    if found is None or len(found[3]) >= LONGEST_PATROL:
        raise DataError(
            f"patrol {line!r}",
            where=where,
            remedy=f"write row, column and 1 to {LONGEST_PATROL - 1} moves, such as '0,2 DDL'",
        )
    row, column, path = int(found[1]), int(found[2]), []
    for move in " " + found[3]:
        row += int(ROW_STEP[MOVES.index(move)])
        column += int(COLUMN_STEP[MOVES.index(move)])
        inside = 0 <= row < len(kinds) // columns and 0 <= column < columns
        if not inside or kinds[row * columns + column] != EMPTY:
            raise DataError(f"patrol {line!r} leaves the floor in row {row}, column {column}", where=where)
        path.append(row * columns + column)
    if len(set(path)) < len(path):
        raise DataError(f"patrol {line!r} crosses its own path", where=where)
    return path
