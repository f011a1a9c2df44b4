"""Demonstrations: what heuristics do in an environment, written as a dataset.

Each demonstrator acts in a vector environment of its own for its share of the steps, and its part of the
dataset is made in rounds whose content depends on nothing but the options. So after a kill the rounds whose
files were acknowledged are kept, and the others are collected again, to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from rayrl.config.seeding import Role, environment_seed
from rayrl.envs.demonstrators import make_demonstrator
from rayrl.envs.spec import EnvSpec
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import Dataset, EnvInfo, open_dataset
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import Ragged
from rayrl.rollout.behavior import DemonstratorBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.options import CollectOptions
from rayrl.rollout.origin import Origin
from rayrl.rollout.vector_env import make_vector_env
from rayrl.storage.manifest import MANIFEST_FILE
from rayrl.storage.spaces import Spaces

DEMONSTRATOR = "demonstrator"
"""Trajectory column: the name of who acted."""
_ROUND_STEPS = 8192


def collect_demonstrations(
    env: EnvSpec | str,
    path: Path | str,
    options: CollectOptions,
    *,
    run_name: str = "",
    progress: Callable[[int, int], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Dataset | None:
    """Collects demonstrations into a dataset; goes on with one that was begun with the same options.

    Args:
        env: the environment, or its id.
        path: the dataset's folder.
        options: who demonstrates, how much, and with which seed.
        run_name: part of the episodes' ids.
        progress: told how many of the steps are done, and of how many.
        stop_requested: asked between rounds.

    Returns:
        The dataset, whose manifest has each demonstrator's statistics; None when asked to stop.

    Raises:
        ConfigError: the environment has no such demonstrator.
        EnvError: the environment cannot be built, or keeps raising.
        DataError: the folder holds something else, or a demonstrator gave what is no action.
        StorageError: the disk is full or not writable.
    """
    if (Path(path) / MANIFEST_FILE).exists():
        return open_dataset(path)
    spec = EnvSpec(id=env) if isinstance(env, str) else env
    counts = {name: _Statistics() for name in options.demonstrators}
    probe = make_vector_env(spec.id, spec.config, 1)
    spaces = Spaces(probe.single_observation_space, probe.single_action_space)
    probe.close()
    done = 0
    info = EnvInfo(id=spec.id, config=spec.model_dump(mode="json")["config"])
    with DatasetWriter(path, spaces=spaces, env=info) as writer:
        kept = writer.num_trajectories
        for name, batch in _rounds(spec, options, run_name):
            if stop_requested():
                return None
            counts[name].add(batch)
            # What a former attempt acknowledged is the beginning of the same rounds.
            skipped = min(kept, batch.num_trajectories)
            kept -= skipped
            writer.append(batch.slice(skipped, batch.num_trajectories))
            writer.flush()
            done += batch.num_steps
            if progress is not None:
                progress(done, options.steps)
        statistics = {name: count.to_json(spaces.action) for name, count in counts.items()}
        return writer.finish({"demonstrators": statistics})


def steps_of_each(demonstrators: Mapping[str, float], steps: int) -> dict[str, int]:
    """Divides steps by shares, to the nearest step, so that they add up."""
    names, shares = list(demonstrators), np.array(list(demonstrators.values()))
    bounds = np.round(np.cumsum(shares) / shares.sum() * steps).astype(int)
    return dict(zip(names, np.diff(bounds, prepend=0).tolist(), strict=True))


def _rounds(spec: EnvSpec, options: CollectOptions, run_name: str) -> Iterator[tuple[str, TrajectoryBatch]]:
    for index, (name, share) in enumerate(steps_of_each(options.demonstrators, options.steps).items()):
        make_env = partial(make_vector_env, spec.id, spec.config, options.envs)
        origin = Origin(run_name, options.seed, index, Role.demonstration, c.Source.demo)
        seed = environment_seed(options.seed, Role.demonstration, index, 1)
        behavior = DemonstratorBehavior(name, make_demonstrator(spec.id, name, seed=seed))
        collector = Collector(make_env, origin)
        left = share
        try:
            while left > 0:
                batch = collector.collect(behavior, num_steps=min(left, _ROUND_STEPS)).batch
                left -= batch.num_steps
                names = Ragged.from_text([name] * batch.num_trajectories)
                yield name, batch.with_trajectory_columns(**{DEMONSTRATOR: names})
        finally:
            collector.close()


class _Statistics:
    """Numbers of one demonstrator."""

    def __init__(self) -> None:
        self._steps = 0
        self._returns: list[float] = []
        self._actions: list[Any] = []

    def add(self, batch: TrajectoryBatch) -> None:
        self._steps += batch.num_steps
        returns: Any = batch.trajectory_columns[c.EPISODE_RETURN]
        self._returns += returns[~np.isnan(returns)].tolist()
        self._actions.append(batch.columns[c.ACTIONS])

    def to_json(self, action_space: gym.Space[Any]) -> dict[str, Any]:
        """Steps, finished episodes, their mean return, and how often each discrete action was taken."""
        numbers: dict[str, Any] = {"steps": self._steps, "episodes": len(self._returns)}
        numbers["return_mean"] = float(np.mean(self._returns)) if self._returns else None
        if isinstance(action_space, gym.spaces.Discrete) and self._actions:
            taken = np.concatenate(self._actions) - action_space.start
            numbers["actions"] = np.bincount(taken, minlength=int(action_space.n)).tolist()
        return numbers
