"""ShardedReplayBuffer: a replay buffer over shards, each in a process of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray

from rayrl.config.seeding import Role, generator
from rayrl.errors import DataError, StorageError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import Dataset, EnvInfo
from rayrl.experience.replay import scores
from rayrl.experience.replay.checkpoint_restoring import Later
from rayrl.experience.replay.checkpoints import (
    SEGMENTS,
    After,
    CheckpointManifest,
    Mode,
    named_segments,
    read_checkpoint,
    resolve_mode,
    shard_folder,
    sweep,
    write_checkpoint,
)
from rayrl.experience.replay.groups import Wanted, Where
from rayrl.experience.replay.joining import join_saved
from rayrl.experience.replay.live_view import LiveView, merge_views
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.requests import Request
from rayrl.experience.replay.samples import TrajectorySample
from rayrl.experience.replay.sampling import Sampled, with_split
from rayrl.experience.replay.saving import check_target
from rayrl.experience.replay.sharded.drawing import draw_from_all, draw_from_one
from rayrl.experience.replay.sharded.fleet import Fleet
from rayrl.experience.replay.sharded.options import ShardOptions, share_of
from rayrl.experience.replay.sharded.server import ShardSetup
from rayrl.experience.replay.statistics import merge_partitions, merge_trajectories
from rayrl.experience.replay.union import Drawn
from rayrl.storage.atomic import atomic_folder
from rayrl.storage.spaces import Spaces

_INLINE_BYTES = 100_000
"""Batches of fewer bytes travel with the call; others once, through the object store."""


class ShardedReplayBuffer(Sampled):
    """Experience of one kind of environment, over shards; samples as ``ReplayBuffer`` does.

    Its process plans and counts; batches go from their makers to the shards, and samples from the shards to
    who fetches them. One thread uses it at a time. Calls take effect in their order: what was added before a
    draw is drawn from.

    Args:
        spaces: what the batches must fit.
        env: the environment that they come from.
        options: partitions, capacities, priorities, splits, of all shards together.
        shards: number of shards, and what becomes of what a shard holds when it dies.
        producers: number of producers of batches. Each keeps to one shard, also where it has many
            sub-environments; with fewer of them than shards each batch is dealt to all shards, episode by
            episode.
        device: where the tensors of samples go.

    Attributes:
        draws: how many draws there were; with the seed it names the generator of the next one.
    """

    def __init__(
        self,
        spaces: Spaces,
        env: EnvInfo,
        options: ReplayOptions | None = None,
        *,
        shards: ShardOptions | None = None,
        producers: int = 1,
        device: str = "cpu",
    ) -> None:
        self.spaces = spaces
        self.env = env
        self.options = options or ReplayOptions()
        self.shards = shards or ShardOptions()
        self.device = device
        self.draws = 0
        setups = [
            ShardSetup(
                spaces,
                env,
                share_of(self.options, rank, self.shards.shards),
                rank,
                store="object_store" if self.shards.spool is None else "spool",
                spool=None if self.shards.spool is None else shard_folder(self.shards.spool, rank),
                hot_bytes=self.shards.hot_bytes,
                shards=self.shards.shards,
                device=device,
            )
            for rank in range(self.shards.shards)
        ]
        self._viewed = time.monotonic()
        self._view: LiveView | None = None
        self._fleet = Fleet(setups, self.shards, producers)

    def __len__(self) -> int:
        """Steps held."""
        return sum(steps for steps, _ in self._ask("size"))

    @property
    def lost_shards(self) -> int:
        """How many shards died for good."""
        return len(self._fleet.losses)

    @property
    def exact(self) -> bool:
        """Whether it is what it would be had no shard died: none was lost, and no priorities began again."""
        return not self.lost_shards and not (self._fleet.restarts and self.options.priorities)

    @property
    def warnings(self) -> list[str]:
        """What has become of shards that died, a sentence each."""
        told = [
            f"replay shard {rank} was lost with {steps:,} steps, and training went on without them; "
            "durability: spool would have kept them"
            for rank, steps in self._fleet.losses.items()
        ]
        if times := self._fleet.restarts:
            reset = "; priorities began again at the highest" if self.options.priorities else ""
            told.append(f"replay shards died {times:,} times and came back with all that they held{reset}")
        return told

    @property
    def num_trajectories(self) -> int:
        """Trajectories held; one whose shard was lost, and which went on elsewhere, counts there alone."""
        return sum(trajectories for _, trajectories in self._ask("size"))

    def add(
        self, batch: TrajectoryBatch | ray.ObjectRef, *, producer: int = 0, partition: str | None = None
    ) -> None:
        """Sends a batch on its way to its shards, and comes back at once.

        The batch is kept until it is acknowledged. A few may be on their way to each shard; beyond that the
        oldest is waited for. Batches that were added before are passed over, as ``ReplayBuffer.add`` does.

        Args:
            batch: trajectories, or a reference to them; they need not be whole.
            producer: who made it.
            partition: where to; the first one when not given.

        Raises:
            RayrlError: what an earlier batch was refused for; see ``ReplayBuffer.add``.
            TrainingError: no shard is left.
        """
        self._add(batch, producer, partition, idempotent=True)

    def add_dataset(self, dataset: Dataset, *, partition: str | None = None) -> int:
        """Copies a dataset in, whatever was added before; gives its steps.

        Raises:
            SpaceError: it is of other spaces.
            DataError: as ``ReplayBuffer.add``.
            IntegrityError: a file of it cannot be read.
        """
        for number, batch in enumerate(dataset.batches()):
            self._add(batch, number, partition, idempotent=False)
        self.flush()
        return dataset.num_steps

    def flush(self) -> None:
        """Waits until all that was added, and all updates of priorities, are acknowledged.

        Raises:
            RayrlError: what a batch was refused for, or an update; the others are acknowledged nevertheless.
            TrainingError: no shard is left.
        """
        self._fleet.settle()
        self._fleet.raise_failures()

    def update_priorities(self, row_ids: Any, priorities: Any, shards: Any = None) -> None:
        """Gives steps new priorities; those of steps that are evicted meanwhile are counted and passed over.

        Comes back at once. Each argument may be a reference to an array, such as a learner's return value.

        Args:
            row_ids: ``(n,)`` as of a sample.
            priorities: ``(n,)`` finite and at least 0, such as absolute TD errors.
            shards: ``(n,)`` as of a sample; may be left out where there is one shard.

        Raises:
            DataError: it is not said which shards the rows are from.
            RayrlError: what an earlier update was refused for: the buffer keeps no priorities, one is out of
                range, or there are not as many as ids.
        """
        if shards is None and self.shards.shards > 1:
            raise DataError("of several shards it must be said which the rows are from", where="shards")
        self._fleet.raise_failures()
        self._fleet.update(*(_sent(values) for values in (row_ids, priorities, shards)))

    def draw_request(self, request: Request, sizes: Sequence[int]) -> list[Drawn]:
        """Draws several samples of what a request asks for; see ``Sampled``.

        Their parts are references to objects that this process owns and never reads. They are complete, so
        they outlive the shards that they are from.
        """
        self._fleet.raise_failures()
        draw = draw_from_one if self.shards.shards == 1 else draw_from_all
        drawn = self._fleet.persist(
            lambda: draw(
                self._fleet, request, sizes, generator(self.options.seed, Role.replay, 0, self.draws)
            )
        )
        self.draws += 1
        return drawn

    def score(
        self,
        agent: scores.Scorer,
        *,
        policy_version: int | None = None,
        max_age: int = 0,
        where: Where | None = None,
    ) -> int:
        """Computes on-policiness scores that are missing or too old, and gives how many.

        The agent is sent to the shards, so it must be picklable. Arguments and errors are those of
        ``sample_by_on_policiness``.
        """
        return sum(self._ask("score", ray.put(agent), policy_version, max_age, where))

    def statistics(self) -> LiveView:
        """What the buffer and each shard is like now; rates are since this was last asked for.

        It costs each shard about as much as a small draw, and waits for what was sent to the shards before.
        """
        ranks = [link.rank for link in self._fleet.alive]
        views: list[LiveView] = self._ask("live_view")
        if len(views) != len(ranks):
            ranks = [link.rank for link in self._fleet.alive]
        now = time.monotonic()
        before = max(now - self._viewed, 1e-9), self._view
        self._view = merge_views(dict(zip(ranks, views, strict=True)), self._fleet.lost_steps, before)
        self._viewed = now
        return self._view

    def get_trajectory_statistics(self) -> dict[str, float]:
        """Numbers and lengths of the trajectories, their returns and on-policiness scores."""
        return merge_trajectories(self._ask("trajectory_statistics"))

    def get_partition_statistics(self) -> dict[str, dict[str, Any]]:
        """Of each partition what it holds, may hold, and has counted."""
        return merge_partitions(self._ask("partition_statistics"), self.options)

    def get_all_trajectories(self, split: Wanted = None, *, where: Where | None = None) -> TrajectorySample:
        """All trajectories, shard by shard, oldest first, as steps laid end to end; a copy in this process.

        Args:
            split: ``train``, ``val`` or None for both.
            where: which trajectories; its split gives way to ``split``.

        Raises:
            DataError: there is none.
        """
        found = [part for part in self._ask("trajectories", with_split(where, split)) if part is not None]
        if not found:
            raise DataError("no trajectories in the replay buffer", where="replay buffer")
        return TrajectorySample.join(found)

    def save_checkpoint(self, folder: Path, mode: Mode = "auto", segments: Path | None = None) -> None:
        """Writes the buffer to a checkpoint's folder, which the nodes of all shards must reach.

        Args:
            folder: the folder.
            mode: ``full``: all of it is there. ``reference``: what changes is there, and the names of
                segments: those of the spool, or without one files that are written once. ``auto``: ``full``
                below 256 MB.
            segments: without a spool, their folder; ``segments`` beside the checkpoint when not given.

        Raises:
            StorageError: there is not room enough, or the disk cannot be written.
            RayrlError: what a batch was refused for that was added before.
        """
        self.flush()
        resolved = resolve_mode(mode, sum(self._ask("disk_bytes")) if mode == "auto" else 0)
        beside = segments or folder.absolute().parent / SEGMENTS
        parts = self._save_shards(folder, resolved, beside)
        spools = tuple(identity for identity in parts.values() if identity is not None)
        manifest = CheckpointManifest(mode=resolved, shards=len(parts), draws=self.draws, spools=spools)
        write_checkpoint(folder, manifest)

    def restore_checkpoint(self, folder: Path, after: After = "checkpoint") -> list[Later]:
        """Goes back, or forward, to a checkpoint; a quiescent buffer then draws as the saved one would have.

        Into another number of shards episodes are dealt anew: with new row ids, priorities that begin at the
        highest, and no scores.

        Args:
            folder: the checkpoint.
            after: what becomes of steps that a spool holds and the checkpoint does not. ``checkpoint``: they
                are kept aside, in files that the log names. ``latest``: they stay.

        Returns:
            Where there are such steps, what became of them, shard by shard.

        Raises:
            IntegrityError: a file or a segment is missing, altered, out of reach, or of another buffer;
                nothing is changed then.
        """
        self.flush()
        folder = folder.absolute()
        manifest = read_checkpoint(folder)
        self._ask("verify_checkpoint", folder, manifest)
        later: list[Later] = self._ask("restore_checkpoint", folder, manifest, after)
        self._fleet.begin_anew()
        self.draws = manifest.draws
        return [of for of in later if of.steps]

    def sweep(self, checkpoints: Sequence[Path], segments: Path | None = None) -> list[str]:
        """Deletes the segments that none of the retained checkpoints names; gives their names.

        Args:
            checkpoints: folders of the retained checkpoints.
            segments: without a spool, folder of the segments.

        Raises:
            IntegrityError: a checkpoint is damaged; nothing is deleted then.
        """
        named = named_segments(checkpoints)
        swept = [name for names in self._ask("sweep", named) for name in names]
        return swept if segments is None else [*swept, *sweep(segments, checkpoints)]

    def save(self, path: Path | str) -> Path:
        """Writes the buffer to a folder, whole or not at all, as ``ReplayBuffer.save`` does.

        What it writes is one saved buffer, which ``ReplayBuffer.load`` reads. Shards write theirs first, so
        it takes twice the space on the way, on a file system that their nodes share.

        Raises:
            StorageError: there is not room enough, or the disk cannot be written.
            RunError: something else stands there.
        """
        path = Path(path)
        check_target(path)
        with atomic_folder(path, "a replay buffer") as folder:
            parts = folder / "shards"
            join_saved(list(self._save_shards(parts, "full", parts)), folder, self.options, draws=self.draws)
            shutil.rmtree(parts)
        return path

    def _save_shards(self, folder: Path, mode: str, segments: Path) -> dict[Path, str | None]:
        """Has all shards that are left write their parts of a checkpoint.

        Returns:
            The folder of each, and the identity of its spool.
        """
        self.flush()

        def save() -> dict[Path, str | None]:
            parts = {link.rank: shard_folder(folder, i) for i, link in enumerate(self._fleet.alive)}
            identities = self._fleet.ask(
                lambda link: link.actor.save_checkpoint.remote(parts[link.rank], mode, segments)
            )
            return dict(zip(parts.values(), identities, strict=True))

        parts = self._fleet.persist(save)
        if missing := [part.name for part in parts if not part.is_dir()]:
            raise StorageError(
                f"{', '.join(missing)}: shards have written where this process sees nothing",
                where=str(folder),
                remedy="choose a folder on a file system that all nodes share",
            )
        return parts

    def close(self) -> None:
        """Ends the shards; what is in a spool stays there."""
        self._fleet.close()

    def _add(self, batch: Any, producer: int, partition: str | None, *, idempotent: bool) -> None:
        self._fleet.raise_failures()
        if isinstance(batch, TrajectoryBatch) and batch.nbytes > _INLINE_BYTES:
            batch = ray.put(batch)
        self._fleet.add(batch, producer, partition, idempotent=idempotent)

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        """The answers of all shards to one call."""
        return self._fleet.persist(
            lambda: self._fleet.ask(lambda link: getattr(link.actor, method).remote(*arguments))
        )


def _sent(values: Any) -> Any:
    """What to send to all shards: a large array once."""
    if isinstance(values, ray.ObjectRef) or values is None:
        return values
    array = np.asarray(values)
    return ray.put(array) if array.nbytes > _INLINE_BYTES else array
