"""Suites: files of levels by category that policies are compared on.

    {
      "format": "rayrl-suite", "version": 1, "name": "mine_maze_test", "env": "rayrl/MineMaze-v0",
      "generator": 1, "split": "test",
      "categories": {
        "simple": [
          {"id": "simple_0000", "seed": 3, "content": ["..#E", "S..."], "sha256": "…",
           "difficulty": 2.25, "planner_steps": 9}
        ]
      }
    }

A level is what its content says; seed and generator's version tell where it came from, and the rest lets a
reader notice that it was changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from rayrl.config import Config
from rayrl.envs.mine_maze.categories import RECIPES
from rayrl.envs.mine_maze.config import unknown_category
from rayrl.envs.mine_maze.generator import SEEDS, VERSION, check_seed, generate_level
from rayrl.envs.mine_maze.json_file import read_json_file
from rayrl.envs.mine_maze.level import Level
from rayrl.errors import ConfigError, DataError

ENV_ID = "rayrl/MineMaze-v0"
FORMAT = "rayrl-suite"
_SEEDS = 1 << 32
"""Seeds of levels that belong to one seed of a suite."""


class LevelEntry(Config):
    """A level as it stands in a file."""

    id: str = Field(min_length=1)
    """Its name, which no other level of the file has."""
    seed: int | None = Field(default=None, ge=0, lt=SEEDS)
    """From which the generator made it; null where it was written by hand."""
    content: tuple[str, ...]
    """Its rows, then its patrols."""
    sha256: str
    """Of the content."""
    difficulty: float
    """``Level.difficulty``"""
    planner_steps: int
    """Steps of the shortest safe way."""


class SuiteFile(Config):
    """A file of levels, as it stands on disk."""

    format: Literal["rayrl-suite"] = "rayrl-suite"
    version: Literal[1] = 1
    name: str = Field(min_length=1)
    env: Literal["rayrl/MineMaze-v0"] = "rayrl/MineMaze-v0"
    generator: int = Field(ge=1)
    """Version of the generator that made the levels."""
    split: Literal["train", "test", "any"]
    """Which levels it has."""
    categories: dict[str, tuple[LevelEntry, ...]]


class SuiteLevel(NamedTuple):
    """A level of a suite."""

    id: str
    level: Level


@dataclass(frozen=True)
class Suite:
    """Levels by category, each of them checked.

    Args:
        name: of the suite.
        env: the environment's id.
        generator: version of the generator that made the levels.
        split: which levels it has.
        categories: levels by category, in the file's order.
    """

    name: str
    env: str
    generator: int
    split: Literal["train", "test", "any"]
    categories: Mapping[str, tuple[SuiteLevel, ...]]

    @property
    def levels(self) -> Iterator[SuiteLevel]:
        """All levels, category by category."""
        for levels in self.categories.values():
            yield from levels

    def to_json(self) -> dict[str, Any]:
        """What stands in the file."""
        entries = {
            name: tuple(
                LevelEntry(
                    id=entry.id,
                    seed=entry.level.seed,
                    content=entry.level.content,
                    sha256=entry.level.sha256,
                    difficulty=entry.level.difficulty,
                    planner_steps=entry.level.optimal_steps,
                )
                for entry in levels
            )
            for name, levels in self.categories.items()
        }
        return SuiteFile(
            name=self.name, generator=self.generator, split=self.split, categories=entries
        ).model_dump(mode="json")


def generate_suite(
    name: str, counts: Mapping[str, int], *, split: Literal["train", "test", "any"] = "test", seed: int = 0
) -> Suite:
    """The first levels of each category after ``seed`` that are of the split, none of them twice in all.

    Raises:
        ConfigError: a category is unknown, its number of levels is below 1, or the seed not in [0, 2³²).
    """
    if not 0 <= seed < _SEEDS:
        raise ConfigError(f"seed = {seed}", where="suite", remedy=f"give one from 0 to {_SEEDS - 1}")
    categories: dict[str, tuple[SuiteLevel, ...]] = {}
    known: set[str] = set()
    for category, wanted in counts.items():
        if category not in RECIPES:
            raise ConfigError(unknown_category(category), where="categories")
        if wanted < 1:
            raise ConfigError(f"{wanted} levels of {category}; at least 1 is wanted", where="categories")
        found: dict[str, Level] = {}
        for number in count(seed * _SEEDS):
            level = generate_level(category, number)
            if split in ("any", level.split) and level.sha256 not in known:
                found.setdefault(level.sha256, level)
            if len(found) == wanted:
                break
        known.update(found)
        categories[category] = tuple(
            SuiteLevel(f"{category}_{index:04d}", level) for index, level in enumerate(found.values())
        )
    return Suite(name, ENV_ID, VERSION, split, categories)


def read_suite(path: Path | str) -> Suite:
    """Reads a suite, and checks every level of it.

    Raises:
        DataError: the file cannot be read, is no suite or of another version, or has two levels of one id or
            of one content, an unknown category, or a level that cannot be solved, is of another split than
            the file's, or is not what its hash, its numbers or its seed say.
    """
    suite, problems = check_suite(path)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}", where=str(path), remedy=f"see `rayrl suite verify {path}`")
    return suite


def check_suite(path: Path | str) -> tuple[Suite, list[str]]:
    """Reads a suite, and says in a line each what is wrong with its levels, which are then left out.

    Raises:
        DataError: the file cannot be read, is no suite, or of another version.
    """
    file = _read(Path(path))
    problems: list[str] = []
    ids: set[str] = set()
    contents: dict[str, str] = {}
    categories: dict[str, tuple[SuiteLevel, ...]] = {}
    for category, entries in file.categories.items():
        if category not in RECIPES:
            problems.append(unknown_category(category))
            continue
        if not entries:
            problems.append(f"category {category} has no levels")
        good = []
        for entry in entries:
            if entry.id in ids:
                problems.append(f"there are two levels {entry.id!r}")
            ids.add(entry.id)
            try:
                level = _level(category, entry, file)
            except DataError as error:
                problems.append(str(error).replace("\n ", ";"))
                continue
            if (other := contents.setdefault(level.sha256, entry.id)) != entry.id:
                problems.append(f"level {entry.id!r} is the same as {other}")
                continue
            good.append(SuiteLevel(entry.id, level))
        categories[category] = tuple(good)
    if not file.categories:
        problems.append("has no levels")
    return Suite(file.name, file.env, file.generator, file.split, categories), problems


class Verified(NamedTuple):
    """What became of the check of a file."""

    problems: list[str]
    """What is wrong, a line each."""
    unchecked: list[str]
    """What could not be checked, and why."""


def verify_suites(paths: Sequence[Path]) -> dict[str, Verified]:
    """Checks each file, and that no level stands in two of them.

    Raises:
        DataError: as ``check_suite``.
    """
    found: dict[str, Verified] = {}
    known: dict[str, str] = {}
    for path in paths:
        suite, problems = check_suite(path)
        found[str(path)] = Verified(problems, list(_unchecked(suite)))
        for name, level in suite.levels:
            if level.sha256 in known:
                problems.append(f"level {name!r} is the same as {known[level.sha256]}")
            known.setdefault(level.sha256, f"{name} of {path}")
    return found


def _unchecked(suite: Suite) -> Iterator[str]:
    seeds = [level.seed for _, level in suite.levels]
    if by_hand := seeds.count(None):
        yield f"where {_levels(by_hand)} came from, having no seed"
    if (seeded := len(seeds) - by_hand) and suite.generator != VERSION:
        yield (
            f"the seeds of {_levels(seeded)}, which version {suite.generator} of the generator made: this is "
            f"version {VERSION}"
        )


def _levels(number: int) -> str:
    return f"{number} level" if number == 1 else f"{number} levels"


def _read(path: Path) -> SuiteFile:
    return read_json_file(
        path,
        SuiteFile,
        form=FORMAT,
        what="suite of levels",
        entry="level",
        remedy="`rayrl suite generate` makes one",
    )


def _level(category: str, entry: LevelEntry, file: SuiteFile) -> Level:
    where = f"level {entry.id!r}"
    level = Level.parse(category, entry.content, seed=entry.seed, where=where)
    if level.sha256 != entry.sha256:
        raise DataError(
            f"sha256 is {entry.sha256[:12]}…, and that of the content {level.sha256[:12]}…", where=where
        )
    if level.optimal_steps < 0:
        raise DataError("cannot be solved: no safe way leads from start to exit", where=where)
    if level.optimal_steps != entry.planner_steps:
        raise DataError(
            f"planner_steps is {entry.planner_steps}, and the planner needs {level.optimal_steps}",
            where=where,
        )
    if level.difficulty != entry.difficulty:
        raise DataError(f"difficulty is {entry.difficulty:g}, not {level.difficulty:g}", where=where)
    if file.split not in ("any", level.split):
        raise DataError(f"is a {level.split} level, and the suite's split is {file.split}", where=where)
    if file.generator == VERSION:
        check_seed(level, where)
    return level
