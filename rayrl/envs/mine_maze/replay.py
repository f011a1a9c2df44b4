"""Replay files: episodes as level and actions, from which everything else is simulated again.

    {
      "format": "rayrl-replays", "version": 1, "env": "rayrl/MineMaze-v0",
      "replays": [
        {"id": "first", "actions": "RRRU", "max_steps": 8, "ended": "success", "demonstrator": "planner",
         "level": {"category": "simple", "seed": 3, "generator": 1, "content": ["..#E", "S..."],
                   "sha256": "…"}}
      ]
    }

Actions are letters: ``.`` stays, ``URDL`` go up, right, down and left. By hand, ``id``, ``category``,
``content``, ``actions`` and ``ended`` are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from rayrl.config import Config
from rayrl.envs.mine_maze.categories import RECIPES, Room
from rayrl.envs.mine_maze.config import Count, MineMazeConfig, unknown_category
from rayrl.envs.mine_maze.generator import SEEDS, VERSION, check_seed
from rayrl.envs.mine_maze.json_file import read_json_file
from rayrl.envs.mine_maze.level import Level
from rayrl.envs.mine_maze.simulator import NONE, RewardScale, Simulation, step, step_limit
from rayrl.errors import DataError

FORMAT = "rayrl-replays"
LETTERS = ".URDL"
"""By action."""
Ended = Literal["success", "death_by_mine", "death_by_patrol", "timeout", "stuck"]
_ENDINGS: tuple[Ended | None, ...] = (None, "success", "death_by_mine", "death_by_patrol", "timeout", "stuck")
"""By the simulator's codes."""


class LevelRecord(Config):
    """A level as it stands in a replay."""

    category: str
    """Whose observations it fits into."""
    seed: int | None = Field(default=None, ge=0, lt=SEEDS)
    """From which the generator made it; null where it was written by hand."""
    generator: int = Field(default=1, ge=1)
    """Version of the generator that did; files from before there was a second one do not say it."""
    content: tuple[str, ...]
    """Its rows, then its patrols."""
    sha256: str | None = None
    """Of the content; null where it was written by hand."""


class ReplayRecord(Config):
    """A replay as it stands in a file."""

    id: str = Field(min_length=1)
    """Its name, which no other replay of the file has."""
    level: LevelRecord
    actions: str = Field(min_length=1, pattern=r"^[.URDL]+$")
    """A letter each."""
    max_steps: Count | None = None
    """Steps after which the episode was truncated; null where these were twice the level's cells."""
    ended: Ended | None = None
    """How the episode ended after the last action; null where it went on."""
    demonstrator: str | None = None
    """Who acted."""


class ReplayFile(Config):
    """A file of replays, as it stands on disk."""

    format: Literal["rayrl-replays"] = "rayrl-replays"
    version: Literal[1] = 1
    env: Literal["rayrl/MineMaze-v0"] = "rayrl/MineMaze-v0"
    replays: tuple[ReplayRecord, ...] = Field(min_length=1)


class Outcome(NamedTuple):
    """What actions come to."""

    steps: int
    """How many of them were taken before the episode ended."""
    ended: Ended | None
    """How it did; None where it goes on after the last."""


@dataclass(frozen=True, eq=False)
class Replay:
    """An episode on a level.

    Args:
        id: its name.
        level: where.
        actions: what was done, in [0, 5).
        max_steps: where the episode was truncated.
        ended: how it ended after the last action; None where it went on.
        demonstrator: who acted; None where nobody says.
        generator: version of the generator that made the level, where it has a seed.
    """

    id: str
    level: Level
    actions: tuple[int, ...]
    max_steps: int
    ended: Ended | None
    demonstrator: str | None = None
    generator: int = VERSION

    def to_record(self) -> ReplayRecord:
        """What stands in a file."""
        level = self.level
        return ReplayRecord(
            id=self.id,
            level=LevelRecord(
                category=level.category,
                seed=level.seed,
                generator=self.generator,
                content=level.content,
                sha256=level.sha256,
            ),
            actions="".join(LETTERS[action] for action in self.actions),
            max_steps=self.max_steps,
            ended=self.ended,
            demonstrator=self.demonstrator,
        )


def outcome_of(level: Level, actions: Sequence[int], max_steps: int) -> Outcome:
    """Simulates actions on a level until they, or the episode, end."""
    simulation = Simulation.empty(Room.of([level.category]), 1)
    simulation.install(0, level, max_steps)
    simulation.begin(0)
    scale, over, rewards = RewardScale.of(MineMazeConfig()), np.zeros(1, np.bool_), np.empty(1)
    for taken, action in enumerate(actions, 1):
        assert step(simulation, scale, np.array([action]), over, rewards) == NONE
        if ended := simulation.episodes["ended"][0]:
            return Outcome(taken, _ENDINGS[ended])
    return Outcome(len(actions), None)


def replays_to_json(replays: Sequence[Replay]) -> dict[str, Any]:
    """What stands in a file of these replays."""
    return ReplayFile(replays=tuple(replay.to_record() for replay in replays)).model_dump(mode="json")


def read_replays(path: Path | str) -> list[Replay]:
    """Reads a file, or all ``*.json`` below a folder in the order of their names, and plays every replay.

    Raises:
        DataError: a file cannot be read, is no replay file or of another version; two replays have one id; a
            level is wrong, cannot be solved or is not what its seed gives; or actions do not come to what is
            recorded. Naming the file and the replay.
    """
    path = Path(path)
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DataError("there is no .json file below it", where=str(path))
    found: list[Replay] = []
    homes: dict[str, Path] = {}
    for file in files:
        for record in _read(file).replays:
            where = f"{file}, replay {record.id!r}"
            if record.id in homes:
                other = "" if homes[record.id] == file else f"; the other is in {homes[record.id]}"
                raise DataError(f"there are two of this id{other}", where=where)
            homes[record.id] = file
            found.append(_replay(record, where))
    return found


def _read(path: Path) -> ReplayFile:
    return read_json_file(
        path,
        ReplayFile,
        form=FORMAT,
        what="file of replays",
        entry="replay",
        remedy=f"its format is not {FORMAT!r}",
    )


def _replay(record: ReplayRecord, where: str) -> Replay:
    try:
        (record.demonstrator or "").encode()
    except UnicodeEncodeError:
        text = f"demonstrator = {record.demonstrator!r} is not valid Unicode"
        raise DataError(text, where=where, remedy="write it without lone surrogates") from None
    given = record.level
    if given.category not in RECIPES:
        raise DataError(unknown_category(given.category), where=where)
    level = Level.parse(given.category, given.content, seed=given.seed, where=where)
    if given.sha256 not in (None, level.sha256):
        raise DataError(
            f"level.sha256 is {given.sha256[:12] if given.sha256 else None}…, and that of the content "
            f"{level.sha256[:12]}…",
            where=where,
        )
    if level.optimal_steps < 0:
        raise DataError("its level cannot be solved: no safe way leads from start to exit", where=where)
    if given.generator == VERSION:
        check_seed(level, f"{where}, level")
    actions = tuple(LETTERS.index(letter) for letter in record.actions)
    max_steps = step_limit(level, record.max_steps)
    steps, ended = outcome_of(level, actions, max_steps)
    if steps < len(actions):
        raise DataError(f"ends in {ended} after {steps} of {len(actions)} actions", where=where)
    if ended != record.ended:
        raise DataError(
            f"ended = {record.ended!r}, and its actions come to {ended!r}",
            where=where,
            remedy="the level, the actions or max_steps are not those of the episode",
        )
    return Replay(record.id, level, actions, max_steps, ended, record.demonstrator, given.generator)
