"""Suites of levels: a file of them, each category of which is one of the evaluation."""

from __future__ import annotations

from pathlib import Path

from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError
from rayrl.evaluation.category import Category


def level_categories(env: EnvSpec, path: Path, *, most: int | None = None) -> dict[str, Category]:
    """The categories of a file, with the levels of each in the file's order.

    The environment keeps the spaces that it is trained with: its observations stay sized for the levels that
    training plays.

    Args:
        env: the environment as it is trained on.
        path: the file, as ``rayrl suite generate`` writes it.
        most: levels of each category; None for all.

    Raises:
        DataError: the file is damaged, or has a level that cannot be solved or is not what it says.
        ConfigError: it is of another environment.
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
    trained = MineMazeConfig.parse(env.config, where=env.id)
    kept = {"levels": None, "sized_for": fitting_categories(trained)}
    return {
        name: Category(
            {"level_file": path, "categories": {name: 1.0}, **kept},
            levels=tuple(level.id for level in levels[:most]),
        )
        for name, levels in suite.categories.items()
        if levels
    }
