"""Suites of levels: a file of them, each category of which is one of the evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError
from rayrl.evaluation.category import Category


def level_categories(env: EnvSpec, path: Path, *, most: int | None = None) -> dict[str, Category]:
    """The categories of a file, with the levels of each in the file's order.

    All are played, for training or for tests. The environment keeps the spaces that it is trained with: its
    observations stay sized for the levels that training plays.

    Args:
        env: the environment as it is trained on.
        path: the file, as ``rayrl suite generate`` writes it.
        most: levels of each category; None for all.

    Raises:
        DataError: the file is damaged, or has a level that cannot be solved or is not what it says.
        ConfigError: it is of another environment, or has a category with levels that do not fit.
    """
    from rayrl.envs.mine_maze.config import MineMazeConfig
    from rayrl.envs.mine_maze.levels import fitting_categories
    from rayrl.envs.mine_maze.suite import read_suite

    suite = read_suite(path)
    if suite.env != env.id:
        raise ConfigError(
            f"{path.name} has levels of {suite.env}, not of {env.id}",
            where="evaluate.suite",
            remedy="leave it out, or name the categories in evaluate.categories",
        )
    fitting = fitting_categories(MineMazeConfig.parse(env.config, where=env.id))
    levels = {name: levels[:most] for name, levels in suite.categories.items() if levels}
    _check_room(levels, fitting, path)
    kept = {"levels": None, "split": "any", "sized_for": fitting}
    return {
        name: Category(
            {"level_file": path, "categories": {name: 1.0}, **kept},
            levels=tuple(level.id for level in levels[name]),
        )
        for name in levels
    }


def _check_room(names: Iterable[str], fitting: tuple[str, ...], path: Path) -> None:
    """Makes sure that the largest levels of each category fit into the observations of the training."""
    from rayrl.envs.mine_maze.categories import RECIPES, Room

    room = Room.of(fitting)
    large = [name for name in names if any(a > b for a, b in zip(Room.of([name]), room, strict=True))]
    if not large:
        return
    needed = Room.of(large)
    wanted = [name for name in RECIPES if name in (*fitting, *large)]
    raise ConfigError(
        f"{path.name} has levels of {', '.join(large)}, with up to {needed.side} rows and {needed.doors} "
        f"doors, and the observations of the training have room for {room.side} and {room.doors}, as levels "
        f"of {', '.join(fitting)} need",
        where="evaluate.suite",
        remedy=f"set env.config.sized_for: [{', '.join(wanted)}], and train with it",
    )
