"""ExperienceReplay: what an algorithm keeps of its rollouts, and what its learners draw from it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
from numpy.typing import NDArray

from rayrl.algorithms.actors import Sample
from rayrl.algorithms.offpolicy.data import Ratings, ReplayData
from rayrl.algorithms.replay.offline import check_room, offline_datasets
from rayrl.algorithms.replay.settings import PRIORITIZED, ReplaySettings
from rayrl.errors import ConfigError, RunError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.ragged import Ragged
from rayrl.experience.replay import PartitionOptions, PriorityOptions, ReplayBuffer, ReplayOptions, Where
from rayrl.experience.replay.checkpoint_restoring import Later
from rayrl.experience.replay.checkpoints import sweep
from rayrl.experience.replay.live_view import live_view
from rayrl.experience.replay.options import DEFAULT_PARTITION
from rayrl.experience.replay.sharded import ShardedReplayBuffer, ShardOptions
from rayrl.experience.replay.sharded.gauges import ReplayGauges
from rayrl.experience.replay.union import Drawn
from rayrl.models.distributions import ActionDistribution
from rayrl.storage.atomic import storage_errors
from rayrl.storage.spaces import Spaces

OFFLINE = "offline"
"""The partition of ``offline_dataset``."""
FOLDER = "replay_buffer"
"""Of the buffer, in a checkpoint."""

Buffer = ReplayBuffer | ShardedReplayBuffer

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
        shards: number of shards; 0 for a buffer in this process.
        spaces: of the environment.
        env: the environment.
        seed: of the draws.
        sampler: by name, where the settings leave it open.
        producers: number of workers that collect.
        name: of the buffer among Ray's metrics.

    Attributes:
        buffer: the buffer itself; another one where a checkpoint that is restored holds none.
        newest_epoch: of the producers of what it holds, where that goes beyond the checkpoint that was
            restored; None where it does not.
        segments: folder for what checkpoints by reference share; without it, and without a spool, checkpoints
            hold all of the buffer.

    Raises:
        ConfigError: there is no such sampler, or the offline dataset is of other spaces.
        ResourceError: the offline dataset does not fit into this process.
        RunError: a spool has other offline experience.
        IntegrityError: the offline dataset is damaged, or there is none.
    """

    def __init__(
        self,
        settings: ReplaySettings,
        shards: int,
        spaces: Spaces,
        env: EnvInfo,
        *,
        seed: int,
        sampler: str,
        producers: int,
        name: str,
    ) -> None:
        self._gauges = ReplayGauges(name)
        self._restoring: list[str] = []
        self.newest_epoch: int | None = None
        self.segments: Path | None = None
        self._settings = settings
        self._sampler = settings.make_sampler(sampler)
        partitions = {DEFAULT_PARTITION: PartitionOptions(capacity=settings.capacity)}
        if settings.offline_dataset is not None:
            partitions[OFFLINE] = PartitionOptions(capacity=None, eviction="fixed")
        prioritized = self._sampler.name == PRIORITIZED
        priorities = PriorityOptions(alpha=settings.priority_alpha, epsilon=settings.priority_epsilon)
        options = ReplayOptions(
            partitions=partitions, priorities=priorities if prioritized else None, seed=seed
        )
        self._make: Callable[[], Buffer] = partial(ReplayBuffer, spaces, env, options)
        if shards:
            of_shards = _shard_options(settings, shards)
            self._make = partial(
                ShardedReplayBuffer, spaces, env, options, shards=of_shards, producers=producers
            )
        self._begin()

    @property
    def exact(self) -> bool:
        """Whether the buffer is what it would be without any interruption since it was made or restored."""
        return not isinstance(self.buffer, ShardedReplayBuffer) or self.buffer.exact

    @property
    def warnings(self) -> list[str]:
        """What has become of shards that died, and of what a checkpoint did not hold, a sentence each."""
        of_shards = self.buffer.warnings if isinstance(self.buffer, ShardedReplayBuffer) else []
        return [*self._restoring, *of_shards]

    @property
    def prioritized(self) -> bool:
        """Whether TD errors are wanted back."""
        return self._sampler.name == PRIORITIZED

    def add(self, samples: Sequence[Sample], distribution: ActionDistribution | None = None) -> None:
        """Takes in batches, in the order of the workers.

        Args:
            samples: the workers' answers.
            distribution: given where batches are of an on-policy algorithm, with actions in its units: what
                is kept has the environment's.
        """
        for sample in samples:
            prepare = None if distribution is None else partial(_as_taken, distribution)
            if isinstance(self.buffer, ShardedReplayBuffer):
                self.buffer.add(sample.batch, producer=sample.receipt.producer, prepare=prepare)
            else:
                batch = _fetched(sample.batch)
                self.buffer.add(batch if prepare is None else prepare(batch))
            self.filled = True

    def draw(self, due: NDArray[np.int64], draws: Draws) -> ReplayData:
        """Draws for each learner the rows of some minibatches; see ``ReplayData``."""
        shares = {DEFAULT_PARTITION: draws.batch_size}
        if self._settings.offline_dataset is not None:
            offline = round(self._settings.offline_fraction * draws.batch_size)
            shares = {DEFAULT_PARTITION: draws.batch_size - offline, OFFLINE: offline}
        drawn: list[list[Drawn]] = [
            self.buffer.draw_transitions(
                [rows * len(due)] * draws.learners,
                n_step=draws.n_step,
                gamma=draws.gamma,
                sampler=self._sampler,
                where=Where(partition=partition) if len(shares) > 1 else None,
                columns=(),
            )
            for partition, rows in shares.items()
            if rows
        ]
        return ReplayData(draws=[list(each) for each in zip(*drawn, strict=True)], due=due)

    def rate(self, ratings: Sequence[Ratings]) -> None:
        """Makes the TD errors of an update the priorities of its steps."""
        for rating in ratings:
            if isinstance(self.buffer, ShardedReplayBuffer):
                self.buffer.update_priorities(rating.row_ids, rating.td_errors, rating.shards)
            else:
                self.buffer.update_priorities(_fetched(rating.row_ids), _fetched(rating.td_errors))

    def metrics(self) -> dict[str, float]:
        """What the buffer is like now: fill, rates, age, where its bytes are; see ``LiveView``.

        ``fill`` is of the rollouts' partition alone.
        """
        if isinstance(self.buffer, ShardedReplayBuffer):
            view = self.buffer.statistics()
            values = view.metrics() | {"lost_shards": float(self.buffer.lost_shards)}
        else:
            view = live_view(self.buffer)
            view = replace(view, shards={0: view})
            values = view.metrics()
        self._gauges.set(view)
        values["fill"] = view.partitions[DEFAULT_PARTITION] / self._settings.capacity
        return values | {f"steps_of/{name}": float(steps) for name, steps in view.partitions.items()}

    def save_checkpoint(self, checkpoint: Path) -> None:
        """Writes what a checkpoint holds of the buffer into its folder.

        Raises:
            ConfigError: it is to be by reference, and there is no place for what checkpoints share.
            StorageError: there is not room enough, or the disk cannot be written.
        """
        mode = self._settings.replay_in_checkpoint
        if mode == "none":
            return
        if self.segments is None and self._settings.durability == "none":
            if mode == "reference":
                raise ConfigError(
                    "replay_in_checkpoint: reference needs a spool, or the folder of a trial",
                    where="replay",
                    remedy="set durability: spool and spool_path, or replay_in_checkpoint: full",
                )
            mode = "full"
        with storage_errors(checkpoint, "a checkpoint's replay buffer"):
            (checkpoint / FOLDER).mkdir()
        self.buffer.save_checkpoint(checkpoint / FOLDER, mode, self.segments)

    def restore_checkpoint(self, checkpoint: Path) -> bool:
        """Takes over the buffer of a checkpoint; begins with an empty one where it holds none.

        Returns:
            Whether it is what it was.
        """
        folder = checkpoint / FOLDER
        self._restoring, self.newest_epoch = [], None
        if not folder.is_dir():
            _log.warning("%s holds no replay buffer: it begins empty", checkpoint)
            self._restoring = [f"{checkpoint.name} holds no replay buffer, which began empty again"]
            self.close()
            self._begin()
            return False
        if isinstance(self.buffer, ShardedReplayBuffer):
            later = self.buffer.restore_checkpoint(folder, self._settings.replay_after_restore)
            self._restoring = [_told(of, checkpoint) for of in later]
            self.newest_epoch = max((of.epoch for of in later if of.aside is None), default=None)
        else:
            self.buffer.restore_checkpoint(folder)
        self.filled = self.buffer.get_partition_statistics()[DEFAULT_PARTITION]["steps"] > 0
        return self.newest_epoch is None

    def sweep(self, checkpoints: Sequence[Path]) -> None:
        """Deletes what none of the retained checkpoints refers to any more."""
        folders = [path / FOLDER for path in checkpoints if (path / FOLDER).is_dir()]
        if isinstance(self.buffer, ShardedReplayBuffer):
            self.buffer.sweep(folders, self.segments)
        elif self.segments is not None:
            sweep(self.segments, folders)

    def close(self) -> None:
        """Ends the shards, where there are any."""
        if isinstance(self.buffer, ShardedReplayBuffer):
            self.buffer.close()

    def _begin(self) -> None:
        self.buffer: Buffer = self._make()
        self.filled = False
        """Whether there are rollouts to draw from."""
        if self._settings.offline_dataset is not None:
            self._add_offline(self._settings.offline_dataset)

    def _add_offline(self, path: Path) -> None:
        """Fills the offline partition, unless a spool has it already.

        Raises:
            RunError: a spool has another number of steps.
        """
        if isinstance(self.buffer, ReplayBuffer):
            check_room(path, psutil.virtual_memory().available)
        datasets = offline_datasets(path)
        held = self.buffer.get_partition_statistics()[OFFLINE]["steps"]
        given = sum(dataset.num_steps for dataset in datasets)
        if held not in (0, given):
            raise RunError(
                f"the spool holds {held:,} offline steps, and offline_dataset has {given:,}",
                where=str(self._settings.spool_path),
                remedy="give another folder for the spool, or delete this one",
            )
        for dataset in [] if held else datasets:
            if differences := self.buffer.spaces.differences(dataset.spaces):
                raise ConfigError(
                    f"offline_dataset is of other spaces than the environment: {'; '.join(differences)}",
                    where=str(path),
                    remedy="give one that was collected in this environment",
                )
            self.buffer.add_dataset(dataset, partition=OFFLINE)


def _told(later: Later, checkpoint: Path) -> str:
    found = f"replay held {later.steps:,} steps that are newer than {checkpoint.name}"
    return f"{found}, which stayed" if later.aside is None else f"{found}; they are kept in {later.aside}"


def _shard_options(settings: ReplaySettings, shards: int) -> ShardOptions:
    return ShardOptions(
        shards=shards,
        durability=settings.durability,
        spool=None if settings.spool_path is None else Path(settings.spool_path),
        hot_bytes=settings.hot_bytes,
        cpus_per_shard=settings.cpus_per_replay_shard,
    )


def _fetched(value: Any) -> Any:
    return ray.get(value) if isinstance(value, ray.ObjectRef) else value


def _as_taken(distribution: ActionDistribution, batch: TrajectoryBatch) -> TrajectoryBatch:
    """The batch with the environment's actions, and nothing of the policy's."""
    actions: Any = batch.columns[c.ACTIONS]
    if isinstance(actions, Ragged):
        return batch
    taken = distribution.to_env(np.asarray(actions))
    own = [c.ACTION_LOGP, c.ACTION_DIST_INPUTS]
    own += [c.STATE] if c.STATE in batch.trajectory_columns else []
    return batch.drop(own).with_columns(**{c.ACTIONS: taken})
