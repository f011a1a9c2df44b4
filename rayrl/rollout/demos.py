"""Demonstrations: what heuristics do in an environment, written as a dataset.

Each demonstrator plays episode after episode, in rounds of one episode per sub-environment, until it has its
share of the steps. So the dataset is of whole episodes, as often short and long ones as they come; only the
last one of each demonstrator is cut, where its share is full. Where there are scenarios, a demonstrator has a
part of its share in each. Rounds of all parts take turns. Their content depends on nothing but the options:
after a kill, what was acknowledged is kept, and the rest is collected to the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from rayrl.envs.demonstrators import default_mix
from rayrl.envs.scenarios import AS_TRAINED
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, RunError
from rayrl.experience import columns as c
from rayrl.experience.cutting import first_steps
from rayrl.experience.dataset import Dataset, EnvInfo, open_dataset, read_part
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import Ragged
from rayrl.rollout.demo_plan import plan_demonstrations
from rayrl.rollout.demo_rounds import Round, Setting, play_by_actors, play_here
from rayrl.rollout.demo_share import DemoShare, statistics_of
from rayrl.rollout.options import CollectOptions
from rayrl.rollout.origin import Origin
from rayrl.storage.hashing import sha256_json
from rayrl.storage.manifest import MANIFEST_FILE

_FILE_STEPS = 4096
"""Steps after which a file is acknowledged at the latest,"""
_LEAST_FILE_STEPS = 256
"""and at the earliest,"""
_FILES = 16
"""and otherwise after such a part of all steps: what a kill costs is collected again."""


def collect(
    env: EnvSpec | str,
    path: Path | str,
    *,
    demonstrators: Mapping[str, Any] | str = "random",
    scenarios: Mapping[str, Any] | None = None,
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
        demonstrators: who demonstrates: one name, or each one's share of the steps, with
            ``{"policy": FOLDER, "share": 1}`` for a policy under any name.
        scenarios: share of the steps by scenario, or ``{"share": 0.1, "env_config": {…}}``.
        steps: environment steps, over all demonstrators.
        seed: of the environment, and of demonstrators that draw.
        env_config: options of the environment, where ``env`` is an id.
        envs: episodes that a demonstrator plays side by side.
        workers: Ray actors that collect side by side; 0 collects in this process, without Ray.
        progress: told how many of the steps are done, and of how many.

    Raises:
        ConfigError: an argument is wrong, or the environment has no such demonstrator or scenario.
        PolicyError: a policy was made for other spaces.
        EnvError: the environment cannot be built, or keeps raising.
        DataError: a demonstrator raised or gave what is no action, or the folder holds another environment's
            dataset.
        RunError: the folder holds a dataset that was collected with other arguments.
        ResourceError: Ray cannot start the workers.
        StorageError: the disk is full or not writable.
    """
    if isinstance(env, str):
        env = EnvSpec.parse({"id": env, "config": dict(env_config or {})}, where="env")
    elif env_config is not None:
        raise ConfigError("an EnvSpec has its options already", where="env_config")
    shares = {demonstrators: 1.0} if isinstance(demonstrators, str) else dict(demonstrators)
    values = {
        "demonstrators": shares,
        "scenarios": dict(scenarios or {}),
        "steps": steps,
        "seed": seed,
        "envs": envs,
        "workers": workers,
    }
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
        ConfigError: no demonstrator is named, or one or a scenario that the environment does not have.
        PolicyError: a policy was made for other spaces.
        EnvError: the environment cannot be built, or keeps raising.
        DataError: a demonstrator raised or gave what is no action, or the folder holds another environment's
            dataset.
        RunError: the folder holds a dataset that was collected with other options.
        ResourceError: Ray cannot start the workers.
        StorageError: the disk is full or not writable.
    """
    env, path = EnvSpec(id=env) if isinstance(env, str) else env, Path(path)
    if not options.demonstrators:
        options = options.model_copy(update={"demonstrators": default_mix(env.id)})
    plan = plan_demonstrations(env, options)
    info = EnvInfo(id=env.id, config=env.model_dump(mode="json", fallback=repr)["config"])
    made_of = {"env": info.model_dump(), "collect": plan.made_of, "run": run_name}
    if (path / MANIFEST_FILE).exists():
        return _finished(path, made_of)
    setting = Setting(env, plan.envs, plan.sources, options.envs, options.seed, run=sha256_json(made_of))
    shares = [DemoShare(part, plan.spaces.action) for part in plan.parts]
    try:
        with DatasetWriter(path, spaces=plan.spaces, env=info) as writer:
            _take_up(path, setting, shares)
            _collect_rest(writer, setting, shares, options, progress, stop_requested, resource_timeout_s)
            extra = {
                "demonstrators": statistics_of(shares),
                "scenarios": {
                    name: [dict(changes) for changes in each] for name, each in plan.variants.items()
                },
                "made_of": made_of,
            }
            return writer.finish(extra)
    except _StoppedError:
        return None


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


def _take_up(path: Path, setting: Setting, shares: list[DemoShare]) -> None:
    """Counts what a former attempt acknowledged.

    Raises:
        RunError: it had other options.
    """
    run = Origin(setting.run, setting.seed).run_hash
    by_part = {(share.part.demonstrator, share.part.scenario): share for share in shares}
    for file in sorted(path.glob("*.arrow")):
        for batch in read_part(file):
            columns: Mapping[str, Any] = batch.trajectory_columns
            names = columns.get(c.DEMONSTRATOR)
            if not isinstance(names, Ragged) or (columns[c.EPISODE_ID][:, 0] >> np.uint64(32) != run).any():
                raise _other(path)
            scenarios = columns.get(c.SCENARIO)
            named = scenarios.to_text() if isinstance(scenarios, Ragged) else [AS_TRAINED] * len(names)
            parts = list(zip(names.to_text(), named, strict=True))
            for part in dict.fromkeys(parts):
                mine = [index for index, other in enumerate(parts) if other == part]
                by_part[part].add(batch.select(np.array(mine)))


def _collect_rest(
    writer: DatasetWriter,
    setting: Setting,
    shares: list[DemoShare],
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
    unacknowledged, file_steps = 0, min(_FILE_STEPS, max(_LEAST_FILE_STEPS, options.steps // _FILES))
    with closing(played):
        for round_, batch in played:
            share = shares[round_.part.index]
            if not share.left:  # played ahead, before the share was known to be full
                continue
            # The beginning of a round may be in a file that a former attempt acknowledged.
            known = share.trajectories - round_.number * options.envs
            new = first_steps(batch.slice(known, batch.num_trajectories), share.left)
            share.add(new)
            writer.append(new)
            unacknowledged += new.num_steps
            if unacknowledged >= file_steps:
                writer.flush()
                unacknowledged = 0
            left = sum(share.left for share in shares)
            if progress is not None:
                progress(options.steps - left, options.steps)
            if left and stop_requested():
                raise _StoppedError


def _rounds(shares: list[DemoShare], num_envs: int) -> Generator[Round]:
    """The rounds that are still to be played, in turns, until every share is full."""
    first = [share.trajectories // num_envs for share in shares]
    for number in itertools.count(min(first)):
        if not any(share.left for share in shares):
            return
        for share in shares:
            if share.left and number >= first[share.part.index]:
                yield Round(share.part, number, share.left)
