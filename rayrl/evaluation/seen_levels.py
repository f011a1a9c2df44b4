"""Which levels of an evaluation training may play as well: there it tells nothing of levels that are new."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from rayrl.envs.spec import EnvSpec
from rayrl.evaluation.category import Category
from rayrl.evaluation.environment import evaluation_spec

if TYPE_CHECKING:
    from rayrl.envs.mine_maze.config import MineMazeConfig
    from rayrl.envs.mine_maze.level import Level


def seen_in_training(
    env: EnvSpec, categories: Mapping[str, Category], changes: Mapping[str, Any]
) -> str | None:
    """Says in which categories of an evaluation levels are played that training may play as well.

    Args:
        env: the environment as it is trained on.
        categories: those of the evaluation.
        changes: options of the environment that differ in all of them.

    Returns:
        A warning without a full stop; None where there is nothing to warn of, as in all environments but the
        mine maze.

    Raises:
        ConfigError: an option is unknown or wrong.
        DataError: a file of levels is damaged.
    """
    if env.id != "rayrl/MineMaze-v0":
        return None
    from rayrl.envs.mine_maze.config import MineMazeConfig
    from rayrl.envs.mine_maze.levels import played_of
    from rayrl.envs.mine_maze.suite import read_suite

    read = cache(read_suite)

    def listed(config: MineMazeConfig) -> list[Level] | None:
        return None if config.level_file is None else played_of(read(config.level_file), config)

    trained = MineMazeConfig.parse(env.config, where=env.id)
    trained_levels = listed(trained)
    found = []
    for name, category in categories.items():
        spec = evaluation_spec(env, {**changes, **category.changes})
        evaluated = MineMazeConfig.parse(spec.config, where=env.id)
        levels = listed(evaluated)
        if levels is None:
            if _may_share(trained, trained_levels, evaluated):
                found.append(name)
            continue
        levels = levels[: len(category.levels) or None]
        seen = sum(_may_play(trained, trained_levels, level) for level in levels)
        if seen:
            found.append(f"{name} ({seen} of {len(levels)} levels)")
    if not found:
        return None
    return (
        f"the evaluation plays levels that training may play as well, in {', '.join(found)}: there it does "
        "not tell how policies do on new levels; set env.config.split to train, and evaluate on levels for "
        "tests (`rayrl suite generate --split test`)"
    )


def _may_play(config: MineMazeConfig, levels: list[Level] | None, level: Level) -> bool:
    """Whether an environment with its file's levels, or that generates them, may come to a level."""
    if levels is not None:
        return any(each.sha256 == level.sha256 for each in levels)
    return level.category in _generated(config) and config.played_split in ("any", level.split)


def _may_share(trained: MineMazeConfig, levels: list[Level] | None, evaluated: MineMazeConfig) -> bool:
    """Whether an evaluation that generates levels may come to one of the training."""
    if levels is not None:
        return any(_may_play(evaluated, None, level) for level in levels)
    splits = {trained.played_split, evaluated.played_split}
    return bool(_generated(trained) & _generated(evaluated)) and ("any" in splits or len(splits) == 1)


def _generated(config: MineMazeConfig) -> set[str]:
    from rayrl.envs.mine_maze.config import DEFAULT_MIX

    return {*(config.categories or DEFAULT_MIX)}
