"""Replays of the mine maze: recorded from whoever acts, and made into a dataset by simulating them again.

An observation is taken before its action, by the collector that takes those of rollouts. A replay is a
trajectory with an episode id of its own, so a split by episode is one by replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rayrl.config.seeding import Role
from rayrl.envs.mine_maze.categories import Room
from rayrl.envs.mine_maze.config import MineMazeConfig
from rayrl.envs.mine_maze.env import ENV_ID, MineMazeVectorEnv
from rayrl.envs.mine_maze.episodes import MineMazeEpisodes
from rayrl.envs.mine_maze.level import Level
from rayrl.envs.mine_maze.levels import GivenLevels, level_source
from rayrl.envs.mine_maze.replay import Replay, outcome_of, read_replays, replays_to_json
from rayrl.envs.mine_maze.simulator import step_limit
from rayrl.errors import DataError, RunError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.cutting import first_steps
from rayrl.experience.dataset import Dataset, EnvInfo, open_dataset
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import Column, Ragged
from rayrl.rollout.behavior import Behavior, DemonstratorBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.origin import Origin
from rayrl.rollout.step_buffer import StepBuffer
from rayrl.storage.atomic import atomic_folder, write_json
from rayrl.storage.hashing import sha256_json, sha256_path
from rayrl.storage.spaces import Spaces

_AT_ONCE = 64
"""Replays that are simulated side by side."""
_NOBODY = "replay"
"""Demonstrator of a replay that names none."""


def import_replays(
    path: Path,
    out: Path,
    config: Mapping[str, Any] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Makes a dataset of a replay file, or of all replay files below a folder.

    Args:
        path: the file or folder.
        out: the dataset's folder, there whole or not at all.
        config: options of the environment whose observations and rewards the dataset gets; without any, those
            of the replays' categories.
        progress: told how many replays are done, and of how many.

    Raises:
        ConfigError: an option is unknown or wrong.
        DataError: a replay cannot be read, does not come to what it records, or its level does not fit into
            the observations; naming the replay.
        RunError: something stands at ``out``.
        StorageError: the disk is full or not writable.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError("is there already", where=str(out), remedy="name a new folder")
    replays = read_replays(path)
    given = dict(config or {})
    if not given.get("sized_for") and not given.get("categories"):
        given["sized_for"] = sorted({replay.level.category for replay in replays})
        given["categories"] = dict.fromkeys(given["sized_for"], 1.0)
    options = MineMazeConfig.parse(given, where=ENV_ID)
    room = level_source(options, 1).room
    for replay in replays:
        _check_fits(replay, room, path)
    env = _ReplayEnv(options, room, replays[:1])
    spaces = Spaces(env.single_observation_space, env.single_action_space)
    info = EnvInfo(id=ENV_ID, config=options.model_dump(mode="json"))
    digest = sha256_path(path)
    origin = Origin(sha256_json({"replays": digest}), 0, 0, Role.demonstration, c.Source.import_)
    with atomic_folder(out, "the import") as folder, DatasetWriter(folder, spaces=spaces, env=info) as writer:
        for start in range(0, len(replays), _AT_ONCE):
            chunk = replays[start : start + _AT_ONCE]
            # Episodes of one vector have one limit of steps.
            for limit in sorted({replay.max_steps for replay in chunk}):
                numbers = [start + i for i, replay in enumerate(chunk) if replay.max_steps == limit]
                writer.append(_simulate(options, room, origin, replays, numbers, limit))
            if progress is not None:
                progress(min(start + _AT_ONCE, len(replays)), len(replays))
        writer.finish({"import": {"replays": len(replays), "file": path.name, "sha256": digest}})
    return open_dataset(out)


def record_replays(
    behavior: Behavior,
    name: str,
    episodes: int,
    *,
    config: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[Replay]:
    """Replays of whole episodes of a demonstrator or a policy.

    Args:
        behavior: who acts.
        name: what the replays call it.
        episodes: how many.
        config: options of the environment.
        seed: of the environment, and of a policy that draws.

    Raises:
        ConfigError: an option is unknown or wrong.
    """
    options = dict(config or {})
    replays: list[Replay] = []
    noted = _NotingLevels(behavior)
    collector = Collector(
        lambda: MineMazeVectorEnv(min(episodes, _AT_ONCE), **options),
        Origin("replays", seed, 0, Role.demonstration),
    )
    limit = MineMazeConfig.parse(options, where=ENV_ID).max_steps
    while len(replays) < episodes:
        noted.levels = []
        batch = collector.collect_one_each(noted, max_steps=2**31).batch
        collector.sequence += 1
        actions: Any = batch.columns[c.ACTIONS]
        for i, level in enumerate(noted.levels[: episodes - len(replays)]):
            taken = tuple(actions[batch.offsets[i] : batch.offsets[i + 1]].tolist())
            most = step_limit(level, limit)
            ended = outcome_of(level, taken, most).ended
            replays.append(Replay(f"{name}_{len(replays):05d}", level, taken, most, ended, name))
    collector.close()
    return replays


def write_replays(path: Path, replays: Sequence[Replay]) -> None:
    """Writes a replay file, whole or not at all.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_json(path, replays_to_json(replays), "the replays")


class _ReplayEnv(MineMazeVectorEnv):
    """Environment i plays the level of replay i."""

    def __init__(self, config: MineMazeConfig, room: Room, replays: Sequence[Replay]) -> None:
        super().__init__(len(replays), **config.model_dump())
        levels = GivenLevels([replay.level for replay in replays], room, self.num_envs)
        self.episodes = MineMazeEpisodes(config, self.num_envs, levels)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins every replay; there is nothing to seed."""
        return super().reset(seed=0)


class _Actions:
    """The demonstrator that does what replays say; once one is through, it stays."""

    def __init__(self, replays: Sequence[Replay]) -> None:
        self._replays = replays

    def act(self, env: VectorEnv[Any, Any, Any], observations: Any) -> NDArray[np.int64]:
        """The next action of each, (num_envs,)."""
        assert isinstance(env, MineMazeVectorEnv)
        steps = env.episodes.simulation.episodes["steps"].tolist()
        following = zip(self._replays, steps, strict=True)
        return np.array([r.actions[t] if t < len(r.actions) else 0 for r, t in following])

    def get_state(self) -> dict[str, Any]:
        """Nothing: the environment counts the steps."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


class _NotingLevels:
    """Acts as another behaviour does, and notes on which levels it begins."""

    def __init__(self, behavior: Behavior) -> None:
        self._behavior = behavior
        self.levels: list[Level] = []

    @property
    def columns(self) -> Mapping[str, c.ColumnSpec]:
        """Those of the other."""
        return self._behavior.columns

    @property
    def memory_size(self) -> int:
        """That of the other."""
        return self._behavior.memory_size

    def begin(self, num_envs: int, generator: np.random.Generator, memory: NDArray[Any]) -> None:
        """Begins the other."""
        self._behavior.begin(num_envs, generator, memory)

    def act(
        self, env: VectorEnv, buffer: StepBuffer, idle: NDArray[np.bool_] | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The other's actions."""
        unwrapped = env.unwrapped
        assert isinstance(unwrapped, MineMazeVectorEnv)
        self.levels = self.levels or [level for level in unwrapped.episodes.levels if level]
        return self._behavior.act(env, buffer, idle)

    def finish(self, columns: dict[str, Any]) -> dict[str, Any]:
        """What the other makes of its columns."""
        return self._behavior.finish(columns)


def _simulate(
    options: MineMazeConfig,
    room: Room,
    origin: Origin,
    replays: Sequence[Replay],
    numbers: Sequence[int],
    max_steps: int,
) -> TrajectoryBatch:
    """One trajectory of each replay that is numbered."""
    chosen = [replays[number] for number in numbers]
    limited = options.model_copy(update={"max_steps": max_steps})
    collector = Collector(lambda: _ReplayEnv(limited, room, chosen), origin)
    longest = max(len(replay.actions) for replay in chosen)
    behavior = DemonstratorBehavior(_NOBODY, _Actions(chosen))
    batch = collector.collect_one_each(behavior, max_steps=longest).batch
    collector.close()
    # One that its recording cuts off goes on staying beside longer ones.
    cut = [first_steps(batch.slice(i, i + 1), len(replay.actions)) for i, replay in enumerate(chosen)]
    slots = np.asarray(numbers, np.int64)
    columns: dict[str, Column] = {
        c.EPISODE_ID: origin.episode_ids(0, slots, np.zeros_like(slots)),
        c.SEQUENCE: slots,
        c.DEMONSTRATOR: Ragged.from_text([replay.demonstrator or _NOBODY for replay in chosen]),
        c.DOMAIN: Ragged.from_text([replay.level.category for replay in chosen]),
        c.TASK: Ragged.from_text([replay.level.sha256 for replay in chosen]),
    }
    return TrajectoryBatch.concat(cut).with_trajectory_columns(**columns)


def _check_fits(replay: Replay, room: Room, path: Path) -> None:
    maze = replay.level.maze
    if max(maze.rows, maze.columns) > room.side or maze.doors > room.doors:
        raise DataError(
            f"its level of {maze.rows} rows, {maze.columns} columns and {maze.doors} doors does not fit into "
            f"observations of {room.side} rows and columns and {room.doors} doors",
            where=f"{path}, replay {replay.id!r}",
            remedy=f"name {replay.level.category} in sized_for",
        )
