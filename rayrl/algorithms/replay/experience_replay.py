"""ExperienceReplay: what an algorithm keeps of its rollouts, and what its learners draw from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray

from rayrl.algorithms.actors import Sample
from rayrl.algorithms.offpolicy.data import Ratings, ReplayData
from rayrl.algorithms.replay.settings import ReplaySettings
from rayrl.errors import ConfigError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import EnvInfo, open_dataset
from rayrl.experience.ragged import Ragged
from rayrl.experience.replay import PartitionOptions, PriorityOptions, ReplayBuffer, ReplayOptions, Where
from rayrl.experience.replay.options import DEFAULT_PARTITION
from rayrl.experience.replay.samplers import Sampler, make_sampler
from rayrl.experience.replay.saved import is_saved_buffer
from rayrl.experience.replay.union import Drawn
from rayrl.models.distributions import ActionDistribution
from rayrl.storage.spaces import Spaces

OFFLINE = "offline"
"""The partition of ``offline_dataset``."""
PRIORITIZED = "prioritized"
_FOLDER = "replay_buffer"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Draws:
    """What a learner's minibatches are made of.

    Args:
        batch_size: rows of a minibatch of one learner.
        learners: how many there are.
        n_step: most steps of a return.
        gamma: discount.
    """

    batch_size: int
    learners: int
    n_step: int
    gamma: float


class ExperienceReplay:
    """The replay buffer of one algorithm.

    Args:
        settings: what is kept and drawn.
        spaces: of the environment.
        env: the environment.
        seed: of the draws.
        sampler: by name, where the settings leave it open.

    Attributes:
        buffer: the buffer itself; another one after a restore.

    Raises:
        ConfigError: there is no such sampler, or the offline dataset is of other spaces.
        IntegrityError: the offline dataset is damaged, or there is none.
    """

    def __init__(
        self, settings: ReplaySettings, spaces: Spaces, env: EnvInfo, *, seed: int, sampler: str
    ) -> None:
        self._settings = settings
        self._sampler = _sampler(settings, sampler)
        partitions = {DEFAULT_PARTITION: PartitionOptions(capacity=settings.capacity)}
        if settings.offline_dataset is not None:
            partitions[OFFLINE] = PartitionOptions(capacity=None, eviction="fixed")
        prioritized = self._sampler.name == PRIORITIZED
        priorities = PriorityOptions(alpha=settings.priority_alpha, epsilon=settings.priority_epsilon)
        options = ReplayOptions(
            partitions=partitions, priorities=priorities if prioritized else None, seed=seed
        )
        self._empty = partial(ReplayBuffer, spaces, env, options)
        self.buffer = self._empty()
        self._fill_offline()

    @property
    def prioritized(self) -> bool:
        """Whether TD errors are wanted back."""
        return self._sampler.name == PRIORITIZED

    @property
    def online_steps(self) -> int:
        """Steps of rollouts that are held."""
        return int(self.buffer.get_partition_statistics()[DEFAULT_PARTITION]["steps"])

    def add(self, samples: Sequence[Sample], distribution: ActionDistribution | None = None) -> None:
        """Takes in batches, in the order of the workers.

        Args:
            samples: the workers' answers.
            distribution: given where batches are of an on-policy algorithm, with actions in its units: what
                is kept has the environment's.
        """
        for sample in samples:
            batch = sample.batch
            if isinstance(batch, ray.ObjectRef):
                batch = ray.get(batch)
            if distribution is not None:
                batch = _as_taken(batch, distribution)
            self.buffer.add(batch)

    def draw(self, steps: int, draws: Draws) -> ReplayData:
        """Draws for each learner the rows of some minibatches."""
        shares = {DEFAULT_PARTITION: draws.batch_size}
        if self._settings.offline_dataset is not None:
            offline = round(self._settings.offline_fraction * draws.batch_size)
            shares = {DEFAULT_PARTITION: draws.batch_size - offline, OFFLINE: offline}
        drawn: list[list[Drawn]] = [
            self.buffer.draw_transitions(
                [rows * steps] * draws.learners,
                n_step=draws.n_step,
                gamma=draws.gamma,
                sampler=self._sampler,
                where=Where(partition=partition) if len(shares) > 1 else None,
                columns=(),
            )
            for partition, rows in shares.items()
            if rows
        ]
        return ReplayData(draws=[list(each) for each in zip(*drawn, strict=True)], steps=steps)

    def rate(self, ratings: Sequence[Ratings]) -> None:
        """Makes the TD errors of an update the priorities of its steps."""
        for rating in ratings:
            self.buffer.update_priorities(rating.row_ids, rating.td_errors)

    def metrics(self) -> dict[str, float]:
        """How full it is, and what has become of what was added."""
        values: dict[str, float] = {}
        for name, kept in self.buffer.get_partition_statistics().items():
            prefix = "" if name == DEFAULT_PARTITION else f"{name}_"
            values |= {
                f"{prefix}{key}": float(kept[key])
                for key in ("steps", "trajectories", "steps_added", "steps_evicted")
            }
        values["fill"] = values["steps"] / self._settings.capacity
        values["priority_updates_dropped"] = float(self.buffer.updates_dropped)
        return values

    def save_checkpoint(self, checkpoint: Path) -> None:
        """Writes what a checkpoint holds of the buffer into its folder."""
        if self._settings.replay_in_checkpoint == "full":
            self.buffer.save(checkpoint / _FOLDER)

    def restore_checkpoint(self, checkpoint: Path) -> None:
        """Takes over the buffer of a checkpoint; begins with an empty one where it holds none."""
        folder = checkpoint / _FOLDER
        if folder.is_dir():
            self.buffer = ReplayBuffer.load(folder)
            return
        _log.warning("%s holds no replay buffer: it begins empty", checkpoint)
        self.buffer = self._empty()
        self._fill_offline()

    def _fill_offline(self) -> None:
        path = self._settings.offline_dataset
        if path is None:
            return
        for batch, spaces in _offline_batches(path):
            if differences := self.buffer.spaces.differences(spaces):
                raise ConfigError(
                    f"offline_dataset is of other spaces than the environment: {'; '.join(differences)}",
                    where=str(path),
                    remedy="give one that was collected in this environment",
                )
            self.buffer.add(_without_extras(batch), partition=OFFLINE, idempotent=False)


def _sampler(settings: ReplaySettings, default: str) -> Sampler:
    name = settings.sampler or default
    return make_sampler(name, beta=settings.priority_beta) if name == PRIORITIZED else make_sampler(name)


def _offline_batches(path: Path) -> Any:
    """The batches of a dataset or of a saved buffer, with their spaces."""
    if is_saved_buffer(path):
        buffer = ReplayBuffer.load(path)
        yield buffer.get_all_trajectories().batch, buffer.spaces
        return
    dataset = open_dataset(path)
    for batch in dataset.batches():
        yield batch, dataset.spaces


def _without_extras(batch: TrajectoryBatch) -> TrajectoryBatch:
    """The batch with its observations, actions and rewards alone."""
    kept = (c.OBS, c.ACTIONS, c.REWARDS)
    return batch.drop([name for name in batch.columns if name.split("/", 1)[0] not in kept])


def _as_taken(batch: TrajectoryBatch, distribution: ActionDistribution) -> TrajectoryBatch:
    """The batch with the environment's actions, and nothing of the policy's."""
    actions: Any = batch.columns[c.ACTIONS]
    if isinstance(actions, Ragged):
        return batch
    taken = distribution.to_env(np.asarray(actions))
    return batch.drop([c.ACTION_LOGP, c.ACTION_DIST_INPUTS]).with_columns(**{c.ACTIONS: taken})
