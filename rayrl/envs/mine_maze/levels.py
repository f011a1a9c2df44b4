"""Which level an episode plays: one of a file, of a pool, or a new one each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rayrl.envs.mine_maze.categories import CODES, RECIPES, Room
from rayrl.envs.mine_maze.config import DEFAULT_MIX, MineMazeConfig
from rayrl.envs.mine_maze.draws import stream
from rayrl.envs.mine_maze.generator import generate_level
from rayrl.envs.mine_maze.level import Level
from rayrl.envs.mine_maze.suite import Suite, read_suite
from rayrl.errors import ConfigError

_CACHED = 2048
"""Levels that are kept, of all that a process plays: those of a category whose pool is larger come anew."""
_NAMES = tuple(RECIPES)

Place = tuple[int, int]
"""Names a level within its source, for a saved state: a category's code and a seed, or 0 and a number."""


class LevelSource(Protocol):
    """Gives the levels of episodes."""

    room: Room
    """What observations need room for."""

    def draw(self, seed: int, episode: int) -> Place:
        """The level of an episode, a function of the seed and the episode's number."""

    def level(self, place: Place) -> Level:
        """The level itself; raises IndexError where there is none."""


def level_source(config: MineMazeConfig, num_envs: int) -> LevelSource:
    """The source of levels that a configuration states.

    Raises:
        ConfigError: the file has no level of a category or of the split, or one is larger than observations
            have room for.
        DataError: the file is no suite.
    """
    if config.level_file is not None:
        return _of_file(config, config.level_file, num_envs)
    return _Generated(config)


def fitting_categories(config: MineMazeConfig) -> tuple[str, ...]:
    """The categories whose largest levels fit into the observations of a configuration.

    Raises:
        DataError: its file is no suite.
    """
    if config.sized_for is not None:
        return config.sized_for
    if config.categories is not None:
        return tuple(config.categories)
    return tuple(DEFAULT_MIX if config.level_file is None else read_suite(config.level_file).categories)


class GivenLevels:
    """Levels in their order: after ``reset(seed=s)`` of B environments, environment i plays level s + i, and
    with each episode goes on by B, modulo their number.

    Args:
        levels: one at least.
        room: what observations have room for.
        num_envs: B.
    """

    def __init__(self, levels: Sequence[Level], room: Room, num_envs: int) -> None:
        self._levels = levels
        self._num_envs = num_envs
        self.room = room

    def draw(self, seed: int, episode: int) -> Place:
        """Level ``seed + episode * num_envs``, modulo their number."""
        return 0, (seed + episode * self._num_envs) % len(self._levels)

    def level(self, place: Place) -> Level:
        """The level of that number."""
        return self._levels[place[1]]


def _of_file(config: MineMazeConfig, path: Path, num_envs: int) -> GivenLevels:
    suite = read_suite(path)
    levels = played_of(suite, config)
    if not levels:
        splits = {"train": "training", "test": "tests"}
        other, its = next(item for item in splits.items() if item[0] != config.split)
        raise ConfigError(
            f"split = {config.split}: {path} has no such levels",
            where="rayrl/MineMaze-v0",
            remedy=f"all of them are for {its}; set split to {other}, or to any",
        )
    return GivenLevels(levels, _room(config, list(config.categories or suite.categories)), num_envs)


def played_of(suite: Suite, config: MineMazeConfig) -> list[Level]:
    """The levels of a file that a configuration plays, of its categories and split, in the file's order.

    Raises:
        ConfigError: the file has no such category.
    """
    names = config.categories or suite.categories
    for name in names:
        if name not in suite.categories:
            raise ConfigError(
                f"categories.{name}: {config.level_file} has no such levels",
                where="rayrl/MineMaze-v0",
                remedy=f"it has {', '.join(suite.categories)}",
            )
    levels = [entry.level for name in names for entry in suite.categories[name]]
    return [level for level in levels if config.played_split in ("any", level.split)]


def evaluation_split(config: MineMazeConfig) -> str | None:
    """The split that an evaluation plays: ``test``.

    Of a file from which training does not take a part, or that has no levels for tests, it is what training
    plays.

    Raises:
        ConfigError: the file has no level of a category.
        DataError: the file is no suite.
    """
    if config.level_file is None:
        return "test"
    tests = config.model_copy(update={"split": "test"})
    divided = config.split == "train" and played_of(read_suite(config.level_file), tests)
    return "test" if divided else config.split


class _Generated:
    """Levels of a split, from the generator."""

    def __init__(self, config: MineMazeConfig) -> None:
        mix = config.categories or DEFAULT_MIX
        self._codes = [CODES[name] for name in mix]
        self._bounds = np.cumsum(list(mix.values())) / sum(mix.values())
        self._split = config.played_split
        self._pools = None if config.levels is None else {code: _Pool(code, self) for code in self._codes}
        self._levels = config.levels
        self._words = np.empty(3, np.uint64)
        self._state = np.empty(1, np.uint64)
        self.room = _room(config, list(mix))

    def draw(self, seed: int, episode: int) -> Place:
        """One of the pool, or the first level of the split among those with the seeds that are drawn."""
        for attempt in count():
            drawn = self._number(seed, episode, attempt)
            share = (drawn >> 32) / 2**32
            code = self._codes[int(np.searchsorted(self._bounds, share, side="right"))]
            number = drawn & 0xFFFF_FFFF
            if self._pools is not None:
                return code, self._pools[code][number % (self._levels or 1)]
            if self.fits(code, number):
                return code, number
        raise AssertionError("count() does not end")

    def level(self, place: Place) -> Level:
        """The level of that category, which is one of those that are played, and seed."""
        if place[0] not in self._codes:
            raise IndexError(place[0])
        return _level(*place)

    def fits(self, code: int, seed: int) -> bool:
        """Whether a level is of the split."""
        return self._split in ("any", _level(code, seed).split)

    def _number(self, seed: int, episode: int, attempt: int) -> int:
        self._words[:] = seed, episode, attempt
        stream(self._words, self._state)
        return int(self._state[0])


class _Pool:
    """The seeds 0, 1, 2, … of a category's levels, without those of the other split."""

    def __init__(self, code: int, source: _Generated) -> None:
        self._found: list[int] = []
        self._more: Iterator[int] = (seed for seed in count() if source.fits(code, seed))

    def __getitem__(self, number: int) -> int:
        while len(self._found) <= number:
            self._found.append(next(self._more))
        return self._found[number]


@lru_cache(maxsize=_CACHED)
def _level(code: int, seed: int) -> Level:
    return generate_level(_NAMES[code], seed)


def _room(config: MineMazeConfig, names: list[str]) -> Room:
    needed = Room.of(names)
    if config.sized_for is None:
        return needed
    room = Room.of(config.sized_for)
    if needed.side > room.side or needed.doors > room.doors:
        raise ConfigError(
            f"sized_for = {list(config.sized_for)} has room for {room.side} rows and {room.doors} doors, and "
            f"{', '.join(names)} need {needed.side} and {needed.doors}",
            where="rayrl/MineMaze-v0",
            remedy="name the categories that are played in sized_for, too",
        )
    return room


def hash_bytes(level: Level) -> NDArray[np.uint8]:
    """The level's hash, (32,)."""
    return np.frombuffer(bytes.fromhex(level.sha256), np.uint8)
