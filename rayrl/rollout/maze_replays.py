"""Replays of the mine maze: recorded from whoever acts, and made into a dataset by simulating them again.

An observation is taken before its action, by the collector that takes those of rollouts. A replay is a
trajectory with an episode id of its own, so a split by episode is one by replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from rayrl.envs.mine_maze.generator import VERSION
from rayrl.envs.mine_maze.level import Level
from rayrl.envs.mine_maze.levels import GivenLevels, level_source
from rayrl.envs.mine_maze.replay import Replay, outcome_of, read_replays, replays_to_json
from rayrl.envs.mine_maze.simulator import step_limit
from rayrl.envs.mine_maze.suite import read_suite
from rayrl.errors import DataError, RunError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.cutting import first_steps
from rayrl.experience.dataset import Dataset, EnvInfo, open_dataset
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import Column, Ragged
from rayrl.rollout.behavior import Behavior, DemonstratorBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.demo_share import Tally
from rayrl.rollout.options import UNNAMED
from rayrl.rollout.origin import Origin
from rayrl.rollout.step_buffer import StepBuffer
from rayrl.storage.atomic import atomic_folder, write_json
from rayrl.storage.hashing import sha256_json, sha256_path
from rayrl.storage.spaces import Spaces

_AT_ONCE = 64
"""Replays that are simulated side by side."""


@dataclass(frozen=True, slots=True, eq=False)
class FittingReplays:
    """Replays, and the options of an environment whose observations have room for their levels."""

    path: Path
    """Where they were read."""
    replays: Sequence[Replay]
    options: MineMazeConfig
    room: Room


def read_fitting_replays(
    path: Path, config: Mapping[str, Any] | None = None, *, first: int | None = None
) -> FittingReplays:
    """Reads and plays replays, and looks whether their levels fit into the observations.

    Args:
        path: a replay file, or a folder of them.
        config: options of the environment; None takes those of the replays' categories.
        first: takes so many at most; None takes all.

    Raises:
        ConfigError: an option is unknown or wrong.
        DataError: a replay cannot be read, does not come to what it records, or its level does not fit;
            naming the replay.
    """
    replays = read_replays(path)[:first]
    if config is None:
        names = sorted({replay.level.category for replay in replays})
        config = {"sized_for": names, "categories": dict.fromkeys(names, 1.0)}
    options = MineMazeConfig.parse(config, where=ENV_ID)
    room = level_source(options, 1).room
    for replay in replays:
        _check_fits(replay, room, path)
    return FittingReplays(path, replays, options, room)


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
        config: options of the environment whose observations and rewards the dataset gets; None takes those
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
    dataset = simulate_replays(read_fitting_replays(path, config), out, progress=progress)
    assert dataset is not None  # nothing asks it to stop
    return dataset


def simulate_replays(
    given: FittingReplays,
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Dataset | None:
    """Makes a dataset of replays; its manifest has the statistics of each demonstrator that they name.

    Args:
        given: the replays.
        out: the dataset's folder, there whole or not at all; one that is there is replaced.
        progress: told how many replays are done, and of how many.
        stop_requested: looked at now and then; nothing is kept then.

    Returns:
        The dataset; None where it was asked to stop.

    Raises:
        StorageError: the disk is full or not writable.
    """
    env = _ReplayEnv(given.options, given.room, given.replays[:1])
    spaces = Spaces(env.single_observation_space, env.single_action_space)
    env.close()
    info = EnvInfo(id=ENV_ID, config=given.options.model_dump(mode="json"))
    digest, total = sha256_path(given.path), len(given.replays)
    origin = Origin(sha256_json({"replays": digest}), 0, 0, Role.demonstration, c.Source.import_)
    tallies: dict[str, Tally] = {}
    try:
        with (
            atomic_folder(out, "the replays") as folder,
            DatasetWriter(folder, spaces=spaces, env=info) as writer,
        ):
            for numbers in _side_by_side(given.replays):
                if stop_requested():
                    raise _StoppedError
                batch = _simulate(given, origin, numbers)
                _count(batch, tallies, spaces)
                writer.append(batch)
                if progress is not None:
                    progress(sum(tally.trajectories for tally in tallies.values()), total)
            writer.finish(
                {
                    "import": {"replays": total, "file": given.path.name, "sha256": digest},
                    "demonstrators": {name: Tally.statistics([tally]) for name, tally in tallies.items()},
                }
            )
    except _StoppedError:
        return None
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
    checked = MineMazeConfig.parse(options, where=ENV_ID)
    limit, file = checked.max_steps, checked.level_file
    generator = VERSION if file is None else read_suite(file).generator
    while len(replays) < episodes:
        noted.levels = []
        batch = collector.collect_one_each(noted, max_steps=2**31).batch
        collector.sequence += 1
        actions: Any = batch.columns[c.ACTIONS]
        for i, level in enumerate(noted.levels[: episodes - len(replays)]):
            taken = tuple(actions[batch.offsets[i] : batch.offsets[i + 1]].tolist())
            most = step_limit(level, limit)
            ended = outcome_of(level, taken, most).ended
            label = f"{name}_{len(replays):05d}"
            replays.append(Replay(label, level, taken, most, ended, name, generator))
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


class _StoppedError(Exception):
    """Leaves nothing of a dataset that was begun."""


def _side_by_side(replays: Sequence[Replay]) -> Iterator[list[int]]:
    """The numbers of replays that are simulated together: episodes of one vector have one limit of steps."""
    for start in range(0, len(replays), _AT_ONCE):
        chunk = range(start, min(start + _AT_ONCE, len(replays)))
        for limit in sorted({replays[number].max_steps for number in chunk}):
            yield [number for number in chunk if replays[number].max_steps == limit]


def _count(batch: TrajectoryBatch, tallies: dict[str, Tally], spaces: Spaces) -> None:
    """Adds trajectories to the tallies of their demonstrators."""
    column: Any = batch.trajectory_columns[c.DEMONSTRATOR]
    names = np.array(column.to_text())
    for name in dict.fromkeys(names.tolist()):
        tally = tallies.setdefault(name, Tally(spaces.action))
        tally.add(batch.select(np.flatnonzero(names == name)))


def _simulate(given: FittingReplays, origin: Origin, numbers: Sequence[int]) -> TrajectoryBatch:
    """One trajectory of each replay that is numbered; all have the same limit of steps."""
    chosen = [given.replays[number] for number in numbers]
    limited = given.options.model_copy(update={"max_steps": chosen[0].max_steps})
    collector = Collector(lambda: _ReplayEnv(limited, given.room, chosen), origin)
    longest = max(len(replay.actions) for replay in chosen)
    behavior = DemonstratorBehavior(UNNAMED, _Actions(chosen))
    batch = collector.collect_one_each(behavior, max_steps=longest).batch
    collector.close()
    # One that its recording cuts off goes on staying beside longer ones.
    cut = [first_steps(batch.slice(i, i + 1), len(replay.actions)) for i, replay in enumerate(chosen)]
    slots = np.asarray(numbers, np.int64)
    columns: dict[str, Column] = {
        c.EPISODE_ID: origin.episode_ids(0, slots, np.zeros_like(slots)),
        c.SEQUENCE: slots,
        c.DEMONSTRATOR: Ragged.from_text([replay.demonstrator or UNNAMED for replay in chosen]),
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
