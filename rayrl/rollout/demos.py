"""Demonstrations: what heuristics do in an environment, written as a dataset.

Each demonstrator plays episode after episode, in rounds of one episode per sub-environment, until it has its
share of the steps. So the dataset is of whole episodes, as often short and long ones as they come; only the
last one of each demonstrator is cut, where its share is full. Rounds of all demonstrators take turns. Their
content depends on nothing but the options: after a kill, what was acknowledged is kept, and the rest is
collected to the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from rayrl.envs.demonstrators import demonstrators_for, make_demonstrator
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, RunError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.cutting import first_steps
from rayrl.experience.dataset import Dataset, EnvInfo, open_dataset, read_part
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import Ragged
from rayrl.rollout.demo_rounds import Round, Setting, play_by_actors, play_here
from rayrl.rollout.options import CollectOptions
from rayrl.rollout.origin import Origin
from rayrl.rollout.vector_env import make_vector_env
from rayrl.storage.hashing import sha256_json
from rayrl.storage.manifest import MANIFEST_FILE
from rayrl.storage.spaces import Spaces

_FILE_STEPS = 4096
"""Steps after which a file is acknowledged at the latest."""


def collect(
    env: EnvSpec | str,
    path: Path | str,
    *,
    demonstrators: Mapping[str, float] | str = "random",
    steps: int = 8192,
    seed: int = 0,
    env_config: Mapping[str, Any] | None = None,
    envs: int = 8,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Collects demonstrations into a dataset; goes on with one that was begun with the same arguments.

    Args:
        env: the environment, or its id (any Gymnasium id, or ``module:Class``).
        path: the dataset's folder.
        demonstrators: who demonstrates: one name, or each one's share of the steps.
        steps: environment steps, over all demonstrators.
        seed: of the environment, and of demonstrators that draw.
        env_config: options of the environment, where ``env`` is an id.
        envs: episodes that a demonstrator plays side by side.
        workers: Ray actors that collect side by side; 0 collects in this process, without Ray.
        progress: told how many of the steps are done, and of how many.

    Raises:
        ConfigError: an argument is wrong, or the environment has no such demonstrator.
        EnvError: the environment cannot be built, or keeps raising.
        DataError: a demonstrator gave what is no action, or the folder holds another environment's dataset.
        RunError: the folder holds a dataset that was collected with other arguments.
        ResourceError: Ray cannot start the workers.
        StorageError: the disk is full or not writable.
    """
    if isinstance(env, str):
        env = EnvSpec.parse({"id": env, "config": dict(env_config or {})}, where="env")
    elif env_config is not None:
        raise ConfigError("an EnvSpec has its options already", where="env_config")
    shares = {demonstrators: 1.0} if isinstance(demonstrators, str) else dict(demonstrators)
    values = {"demonstrators": shares, "steps": steps, "seed": seed, "envs": envs, "workers": workers}
    dataset = collect_demonstrations(
        env, path, CollectOptions.parse(values, where="collect"), progress=progress
    )
    assert dataset is not None  # nothing asks it to stop
    return dataset


def collect_demonstrations(
    env: EnvSpec | str,
    path: Path | str,
    options: CollectOptions,
    *,
    run_name: str = "",
    progress: Callable[[int, int], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    resource_timeout_s: float = 300.0,
) -> Dataset | None:
    """Collects demonstrations into a dataset; goes on with one that was begun with the same options.

    Args:
        env: the environment, or its id.
        path: the dataset's folder.
        options: who demonstrates, how much, and with which seed.
        run_name: part of the episodes' ids.
        progress: told how many of the steps are done, and of how many.
        stop_requested: asked between rounds.
        resource_timeout_s: how long Ray may take to start the workers.

    Returns:
        The dataset, whose manifest has each demonstrator's statistics; None when asked to stop.

    Raises:
        ConfigError: no demonstrator is named, or one that the environment does not have.
        EnvError: the environment cannot be built, or keeps raising.
        DataError: a demonstrator gave what is no action, or the folder holds another environment's dataset.
        RunError: the folder holds a dataset that was collected with other options.
        ResourceError: Ray cannot start the workers.
        StorageError: the disk is full or not writable.
    """
    env, path = EnvSpec(id=env) if isinstance(env, str) else env, Path(path)
    if not options.demonstrators:
        raise ConfigError("no demonstrator is named", where="collect.demonstrators", remedy="name one")
    for name in options.demonstrators:
        make_demonstrator(env.id, name, seed=options.seed)  # is there one of that name?
    known = demonstrators_for(env.id)
    info = EnvInfo(id=env.id, config=env.model_dump(mode="json", fallback=repr)["config"])
    collected = options.model_dump(mode="json", exclude={"workers"})
    made_of = {"env": info.model_dump(), "collect": collected, "run": run_name}
    if (path / MANIFEST_FILE).exists():
        return _finished(path, made_of)
    spaces = _spaces_of(env)
    setting = Setting(
        env,
        {name: known[name] for name in options.demonstrators},
        options.envs,
        options.seed,
        run=sha256_json(made_of),
    )
    shares = [
        _Share(name, index, steps, spaces.action)
        for index, (name, steps) in enumerate(steps_of_each(options.demonstrators, options.steps).items())
    ]
    try:
        with DatasetWriter(path, spaces=spaces, env=info) as writer:
            _take_up(path, setting, shares)
            _collect_rest(writer, setting, shares, options, progress, stop_requested, resource_timeout_s)
            statistics = {share.name: share.statistics() for share in shares}
            return writer.finish({"demonstrators": statistics, "made_of": made_of})
    except _StoppedError:
        return None


def steps_of_each(demonstrators: Mapping[str, float], steps: int) -> dict[str, int]:
    """Divides steps by shares, to the nearest step, so that they add up."""
    names, shares = list(demonstrators), np.array(list(demonstrators.values()))
    bounds = np.round(np.cumsum(shares) / shares.sum() * steps).astype(int)
    return dict(zip(names, np.diff(bounds, prepend=0).tolist(), strict=True))


class _Share:
    """One demonstrator's part of a dataset: how much of it there is, and its numbers."""

    def __init__(self, name: str, index: int, steps: int, action_space: gym.Space[Any]) -> None:
        self.name = name
        self.index = index
        self.left = self._steps = steps
        self.trajectories = 0
        self._returns: list[float] = []
        self._actions: np.ndarray | None = None
        if isinstance(action_space, gym.spaces.Discrete):
            self._first_action = int(action_space.start)
            self._actions = np.zeros(int(action_space.n), np.int64)

    def add(self, batch: TrajectoryBatch) -> None:
        columns: Mapping[str, Any] = batch.trajectory_columns
        self.left -= batch.num_steps
        self.trajectories += batch.num_trajectories
        over = columns[c.TERMINATED] | columns[c.TRUNCATED]
        self._returns += columns[c.EPISODE_RETURN][over].tolist()
        if self._actions is not None:
            taken: Any = batch.columns[c.ACTIONS]
            self._actions += np.bincount(taken - self._first_action, minlength=len(self._actions))

    def statistics(self) -> dict[str, Any]:
        """Steps, finished episodes, their mean return, and how often each Discrete action was taken."""
        return {
            "steps": self._steps,
            "episodes": len(self._returns),
            "return_mean": float(np.mean(self._returns)) if self._returns else None,
            "actions": None if self._actions is None else self._actions.tolist(),
        }


class _StoppedError(Exception):
    """Makes the writer drop what is not acknowledged."""


def _finished(path: Path, made_of: dict[str, Any]) -> Dataset:
    dataset = open_dataset(path)
    if dataset.manifest.extra.get("made_of") != made_of:
        raise _other(path)
    return dataset


def _other(path: Path) -> RunError:
    return RunError(
        "holds a dataset that was collected with other options",
        where=str(path),
        remedy="choose another folder, or delete this one",
    )


def _spaces_of(env: EnvSpec) -> Spaces:
    probe = make_vector_env(env.id, env.config, 1)
    spaces = Spaces(probe.single_observation_space, probe.single_action_space)
    probe.close()
    return spaces


def _take_up(path: Path, setting: Setting, shares: list[_Share]) -> None:
    """Counts what a former attempt acknowledged.

    Raises:
        RunError: it had other options.
    """
    run = Origin(setting.run, setting.seed).run_hash
    by_name = {share.name: share for share in shares}
    for file in sorted(path.glob("*.arrow")):
        for batch in read_part(file):
            columns: Mapping[str, Any] = batch.trajectory_columns
            names = columns.get(c.DEMONSTRATOR)
            if not isinstance(names, Ragged) or (columns[c.EPISODE_ID][:, 0] >> np.uint64(32) != run).any():
                raise _other(path)
            texts = np.array(names.to_text())
            for name in dict.fromkeys(texts.tolist()):
                by_name[name].add(batch.select(np.flatnonzero(texts == name)))


def _collect_rest(
    writer: DatasetWriter,
    setting: Setting,
    shares: list[_Share],
    options: CollectOptions,
    progress: Callable[[int, int], None] | None,
    stop_requested: Callable[[], bool],
    resource_timeout_s: float,
) -> None:
    rounds = _rounds(shares, options.envs)
    if options.workers:
        played = play_by_actors(setting, rounds, options.workers, resource_timeout_s)
    else:
        played = play_here(setting, rounds)
    unacknowledged = 0
    with closing(played):
        for round_, batch in played:
            share = shares[round_.index]
            if not share.left:  # played ahead, before the share was known to be full
                continue
            # The beginning of a round may be in a file that a former attempt acknowledged.
            known = share.trajectories - round_.number * options.envs
            new = first_steps(batch.slice(known, batch.num_trajectories), share.left)
            share.add(new)
            writer.append(new)
            unacknowledged += new.num_steps
            if unacknowledged >= _FILE_STEPS:
                writer.flush()
                unacknowledged = 0
            left = sum(share.left for share in shares)
            if progress is not None:
                progress(options.steps - left, options.steps)
            if left and stop_requested():
                raise _StoppedError


def _rounds(shares: list[_Share], num_envs: int) -> Generator[Round]:
    """The rounds that are still to be played, in turns, until every share is full."""
    first = [share.trajectories // num_envs for share in shares]
    for number in itertools.count(min(first)):
        if not any(share.left for share in shares):
            return
        for share in shares:
            if share.left and number >= first[share.index]:
                yield Round(share.name, share.index, number, share.left)
