"""The experience that shards hold: how it comes in, is saved, and comes back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import ray

from rayrl.errors import RayrlError, StorageError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import Dataset, EnvInfo
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
from rayrl.experience.replay.joining import join_saved
from rayrl.experience.replay.live_view import LiveView
from rayrl.experience.replay.loading import check_env
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.saved import read_buffer_manifest
from rayrl.experience.replay.saving import check_target
from rayrl.experience.replay.sharded.fleet import Fleet
from rayrl.experience.replay.sharded.options import ShardOptions, share_of
from rayrl.experience.replay.sharded.server import Prepare, ShardSetup
from rayrl.storage.atomic import atomic_folder
from rayrl.storage.spaces import Spaces

INLINE_BYTES = 100_000
"""Batches and arrays of fewer bytes travel with the call; others once, through the object store."""


class ShardedExperience:
    """What a buffer over shards does but for drawing from it; see ``ShardedReplayBuffer``."""

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
        if restarts := self._fleet.restarts:
            times = "once" if restarts == 1 else f"{restarts:,} times"
            reset = "; priorities began again at the highest" if self.options.priorities else ""
            told.append(f"replay shards died {times} and came back with all that they held{reset}")
        return told

    def add(
        self,
        batch: TrajectoryBatch | ray.ObjectRef,
        *,
        producer: int = 0,
        partition: str | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        """Sends a batch on its way to its shards, and comes back at once.

        The batch is kept until it is acknowledged. A few may be on their way to each shard; beyond that the
        oldest is waited for. Batches that were added before are passed over, as ``ReplayBuffer.add`` does.

        Args:
            batch: trajectories, or a reference to them; they need not be whole.
            producer: who made it.
            partition: where to; the first one when not given.
            prepare: what each shard makes of its part of the batch before it takes it in; picklable.

        Raises:
            RayrlError: what an earlier batch was refused for; see ``ReplayBuffer.add``.
            TrainingError: no shard is left.
        """
        self._fleet.add(self._to_send(batch), producer, partition, idempotent=True, prepare=prepare)

    def add_dataset(self, dataset: Dataset, *, partition: str | None = None) -> int:
        """Copies a dataset in, whatever was added before; gives its steps.

        Raises:
            SpaceError: it is of other spaces.
            DataError: as ``ReplayBuffer.add``.
            IntegrityError: a file of it cannot be read.
        """
        for number, batch in enumerate(dataset.batches()):
            self._fleet.add(self._to_send(batch), number, partition, idempotent=False)
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

    @classmethod
    def load(
        cls,
        path: Path | str,
        env: Any = None,
        device: str = "cpu",
        *,
        shards: ShardOptions | None = None,
        producers: int = 1,
    ) -> Self:
        """Reads a saved buffer into shards, whose nodes must reach it; block by block.

        One shard goes on as ``ReplayBuffer.load`` does. To several episodes are dealt: with new row ids,
        priorities that begin at the highest, and no scores; a shard that is dealt more than its part of a
        capacity evicts what is beyond.

        Args:
            path: the folder.
            env: an environment, single or vectorized, whose spaces must be those of the buffer.
            device: where the tensors of samples go.
            shards: of the buffer over them.
            producers: number of producers of batches that will be added.

        Raises:
            IntegrityError: the buffer is missing, cut short, altered or of an unknown version.
            SpaceError: the environment has other spaces; all differences are named.
            RunError: a spool holds something already.
        """
        path = Path(path).absolute()
        manifest = read_buffer_manifest(path)
        spaces = Spaces.from_json(manifest.spaces)
        if env is not None:
            check_env(spaces, env, path)
        buffer = cls(
            spaces, manifest.env, manifest.options, shards=shards, producers=producers, device=device
        )
        try:
            buffer._ask("load", path)
        except RayrlError:
            buffer.close()
            raise
        buffer._fleet.begin_anew()
        buffer.draws = manifest.draws
        return buffer

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

    def _to_send(self, batch: Any) -> Any:
        """A batch as it is sent, once nothing is known to have failed: a large one as a reference."""
        self._fleet.raise_failures()
        is_large = isinstance(batch, TrajectoryBatch) and batch.nbytes > INLINE_BYTES
        return ray.put(batch) if is_large else batch

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        """The answers of all shards to one call."""
        return self._fleet.persist(
            lambda: self._fleet.ask(lambda link: getattr(link.actor, method).remote(*arguments))
        )
