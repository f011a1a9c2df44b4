"""The categories of levels: from what the generator makes them, and how large their levels may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Self

MOST_DOORS = 3
"""Doors of a level, and its switches: one each."""
MOST_PATROLS = 3
PERIOD = 12
"""Most steps after which all patrols of a level stand where they stood."""

OPEN, DIVIDED, WINDING = 0, 1, 2
"""Styles of walls: single ones, lines with a gap, corridors."""


class Recipe(NamedTuple):
    """What levels of a category are made of; each range has both ends."""

    style: int
    """``OPEN``, ``DIVIDED`` or ``WINDING``; with doors, ``OPEN`` gets as many lines of walls."""
    least_side: int
    """Fewest rows and columns,"""
    most_side: int
    """and most."""
    least_lines: int
    """Lines of walls that divide the level,"""
    most_lines: int
    least_scattered: int
    """single walls, percent of the cells; of ``WINDING``, of the walls between corridors that are opened,"""
    most_scattered: int
    least_doors: int
    """doors, each with a switch,"""
    most_doors: int
    least_mines: int
    """mines that stay where they are,"""
    most_mines: int
    least_patrols: int
    """and mines that move."""
    most_patrols: int
    least_steps: int
    """Fewest steps of the shortest safe way."""
    far_percent: int
    """How far the exit is from the start, at least, as a share of the farthest cell."""

    def range(self, of: str) -> tuple[int, int]:
        """Both ends of a range, such as ``side`` or ``doors``."""
        return getattr(self, f"least_{of}"), getattr(self, f"most_{of}")


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "very_simple": Recipe(OPEN, 5, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 3, 30),
        "simple": Recipe(OPEN, 7, 9, 0, 0, 4, 12, 0, 1, 0, 1, 0, 0, 4, 40),
        "medium": Recipe(DIVIDED, 9, 11, 1, 2, 4, 10, 1, 1, 1, 3, 1, 1, 6, 50),
        "complex": Recipe(DIVIDED, 11, 13, 2, 3, 2, 8, 2, 3, 2, 4, 1, 2, 10, 50),
        "mine_heavy": Recipe(OPEN, 9, 11, 0, 0, 2, 6, 0, 0, 8, 14, 2, 3, 6, 50),
        "exploration": Recipe(WINDING, 11, 13, 0, 0, 4, 10, 0, 0, 0, 1, 0, 0, 16, 85),
    }
)
"""By name, from easy to hard."""
CODES = {name: code for code, name in enumerate(RECIPES)}


class Room(NamedTuple):
    """What observations have room for: the most that levels of some categories hold."""

    side: int
    """Rows, and columns."""
    doors: int
    """Doors, and switches."""

    @classmethod
    def of(cls, categories: Iterable[str]) -> Self:
        """Room for every level of each of these categories."""
        recipes = [RECIPES[name] for name in categories]
        return cls(max(recipe.most_side for recipe in recipes), max(recipe.most_doors for recipe in recipes))

    @property
    def cells(self) -> int:
        """Cells of the largest level, and nodes of its graph."""
        return self.side**2

    @property
    def edges(self) -> int:
        """Edges of the largest graph, each direction counted.

        s x s cells have 2 s (s - 1) pairs of neighbours. A switch has an edge to its door, a landmark (start,
        exit, switches, doors) one to each other landmark.
        """
        landmarks = 2 + 2 * self.doors
        return 4 * self.side * (self.side - 1) + self.doors + landmarks * (landmarks - 1)
