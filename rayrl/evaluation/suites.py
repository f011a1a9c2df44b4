"""Suites: categories of an environment in which policies are evaluated besides the one they trained in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rayrl.config.base import nearest
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError
from rayrl.evaluation.category import Category
from rayrl.evaluation.level_suite import level_categories
from rayrl.evaluation.router_suite import router_standard

AS_TRAINED = "as_trained"
"""The category of the environment with the options that it is trained with."""

Categories = Mapping[str, Mapping[str, Any]]
"""By category, the options of the environment in which it differs."""


_SUITES: dict[str, tuple[str, Callable[[EnvSpec], Categories]]] = {
    "router_standard": ("rayrl/Router-v0", router_standard)
}


def names() -> list[str]:
    """The registered suites, sorted."""
    return sorted(_SUITES)


def names_for(env_id: str) -> list[str]:
    """Those that are for an environment, sorted."""
    return sorted(name for name, (env, _) in _SUITES.items() if env == env_id)


def register_suite(name: str, env_id: str, categories: Callable[[EnvSpec], Categories]) -> None:
    """Makes a suite known by name.

    Args:
        name: what experiment files call it.
        env_id: the environment that it is for.
        categories: gives the categories for that environment with its options.

    Raises:
        ConfigError: the name is taken.
    """
    if _SUITES.get(name, (env_id, categories)) != (env_id, categories):
        raise ConfigError(
            f"the suite {name!r} is there already", where="suites", remedy="choose another name"
        )
    _SUITES[name] = (env_id, categories)


def suite_summary(name: str) -> str:
    """What a registered suite is: the first sentence of the documentation of its function."""
    text = " ".join((_SUITES[name][1].__doc__ or "").split())
    return text.partition(". ")[0].removesuffix(".")


def categories_of(
    env: EnvSpec, suite: str | Path | None, further: Categories, *, levels: int | None = None
) -> dict[str, Category]:
    """What an evaluation plays, ``as_trained`` first.

    Args:
        env: the environment as it is trained on.
        suite: a registered suite, the file of a suite of levels, or None.
        further: categories besides those of the suite.
        levels: of a file, how many of each category; None for all.

    Raises:
        ConfigError: there is no such suite, it is for another environment, or two categories have one name.
        DataError: the file is damaged, or has a level that cannot be solved or is not what it says.
    """
    categories = {AS_TRAINED: Category({})}
    if isinstance(suite, Path):
        of_suite = level_categories(env, suite, most=levels)
    else:
        of_suite = {name: Category(dict(changes)) for name, changes in suite_categories(env, suite).items()}
    own = {name: Category(dict(changes)) for name, changes in further.items()}
    for name, category in [*of_suite.items(), *own.items()]:
        if name in categories:
            raise ConfigError(f"the category {name!r} is there twice", where="evaluate.categories")
        categories[name] = category
    return categories


def suite_categories(env: EnvSpec, suite: str | None) -> Categories:
    """The categories of a registered suite; none of None.

    Raises:
        ConfigError: there is no such suite, or it is for another environment.
    """
    if suite is None:
        return {}
    if suite not in _SUITES:
        raise ConfigError(
            f"there is no suite and no file {suite!r}", where="evaluate.suite", remedy=nearest(suite, _SUITES)
        )
    env_id, categories = _SUITES[suite]
    if env_id != env.id:
        raise ConfigError(
            f"the suite {suite!r} is for {env_id}, not for {env.id}",
            where="evaluate.suite",
            remedy="leave it out, or name the categories in evaluate.categories",
        )
    return categories(env)
