"""ReplayBuffer: experience kept in columns, sampled in many ways, saved and loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rayrl.config.seeding import Role, generator
from rayrl.errors import DataError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import Dataset, EnvInfo
from rayrl.experience.replay import scores
from rayrl.experience.replay.adding import Added
from rayrl.experience.replay.checkpoint_restoring import (
    deal_again,
    read_back,
    verify_checkpoint,
)
from rayrl.experience.replay.checkpoints import (
    SEGMENTS,
    CheckpointManifest,
    Mode,
    checkpoint_bytes,
    read_checkpoint,
    resolve_mode,
    save_reference,
    shard_folder,
    write_checkpoint,
)
from rayrl.experience.replay.groups import Wanted, Where
from rayrl.experience.replay.lanes import Lanes
from rayrl.experience.replay.loading import load_buffer
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.reading import (
    check_picked,
    common_specs,
    read_fragments,
    read_trajectories,
    read_transitions,
    trajectory_batch,
)
from rayrl.experience.replay.requests import Fragments, Request, Trajectories
from rayrl.experience.replay.samplers import Census, is_rayrls_own, make_sampler
from rayrl.experience.replay.samples import Sample, TrajectorySample
from rayrl.experience.replay.sampling import Sampled, with_split
from rayrl.experience.replay.saving import save_buffer
from rayrl.experience.replay.statistics import partition_statistics, trajectory_statistics
from rayrl.experience.replay.storage import ReplayStorage
from rayrl.experience.replay.store import BlockStore, HeapStore
from rayrl.experience.replay.union import Drawn, Offer, draw
from rayrl.experience.replay.view import View
from rayrl.storage.spaces import Spaces

_MOST_VIEWS = 32


class ReplayBuffer(Sampled):
    """Experience of one kind of environment, in the memory of this process.

    Batches are copied in. Draws are independent, with replacement, and copied out. One thread uses it at a
    time.

    Args:
        spaces: what the batches must fit.
        env: the environment that they come from.
        options: partitions, capacities, priorities, splits.
        store: where sealed blocks live.
        device: where the tensors of samples go.
        rank: index of this buffer among the shards of one; each draws other numbers.

    Attributes:
        draws: how many draws there were; with the seed and the rank it names the generator of the next one.
        updates_dropped: updates of priorities that came after their steps were evicted.
        items_sampled: steps, fragments and trajectories drawn.
    """

    def __init__(
        self,
        spaces: Spaces,
        env: EnvInfo,
        options: ReplayOptions | None = None,
        *,
        store: BlockStore | None = None,
        device: str = "cpu",
        rank: int = 0,
    ) -> None:
        self.spaces = spaces
        self.env = env
        self.options = options or ReplayOptions()
        self.device = device
        self.rank = rank
        self.draws = 0
        self.updates_dropped = 0
        self.items_sampled = 0
        self.storage = ReplayStorage(spaces, self.options, store or HeapStore())
        self._views: dict[Any, View] = {}
        self._views_of = -1

    def __len__(self) -> int:
        """Steps held."""
        return sum(partition.counters.steps for partition in self.storage.partitions)

    @property
    def num_trajectories(self) -> int:
        """Trajectories held."""
        return sum(partition.counters.trajectories for partition in self.storage.partitions)

    def add(self, batch: TrajectoryBatch, *, partition: str | None = None, idempotent: bool = True) -> Added:
        """Copies a batch in, and evicts what is then too much; nothing is changed where it raises.

        A trajectory goes on where an earlier batch of the partition left its episode, without a gap.

        Args:
            batch: trajectories; they need not be whole.
            partition: where to; the first one when not given.
            idempotent: pass over batches that were added before: those whose ``epoch`` and ``sequence`` are
                not past the newest ones of their ``producer`` in this partition.

        Raises:
            DataError: the batch is invalid or differs in a column from those before, there is no such
                partition, or it is a fixed one and has no room.
        """
        return self.storage.add(batch, partition, idempotent=idempotent)

    def add_dataset(self, dataset: Dataset, *, partition: str | None = None) -> int:
        """Copies a dataset in, whatever was added before; gives its steps.

        Raises:
            SpaceError: it is of other spaces.
            DataError: as ``add``.
            IntegrityError: a file of it cannot be read.
        """
        return sum(
            self.add(batch, partition=partition, idempotent=False).steps for batch in dataset.batches()
        )

    def score(
        self,
        agent: scores.Scorer,
        *,
        policy_version: int | None = None,
        max_age: int = 0,
        where: Where | None = None,
    ) -> int:
        """Computes on-policiness scores that are missing or too old, and gives how many.

        Arguments and errors are those of ``sample_by_on_policiness``.
        """
        request = Request(Trajectories(), make_sampler("uniform"), where or Where())
        found = self._view(request).candidates
        if not len(found.entry):
            return 0
        return scores.score(
            self.storage,
            common_specs(self.storage, request),
            agent,
            policy_version=policy_version,
            max_age=max_age,
            entries=found.entry,
        )

    def update_priorities(
        self, row_ids: NDArray[np.int64], priorities: NDArray[np.floating[Any]], shards: Any = None
    ) -> int:
        """Gives steps new priorities; gives how many of them were evicted meanwhile, which are passed over.

        Args:
            row_ids: ``(n,)`` as of a sample.
            priorities: ``(n,)`` finite and at least 0, such as absolute TD errors.
            shards: ``(n,)`` as of a sample; all are of this buffer, the only one.

        Raises:
            DataError: the buffer keeps none, a priority is out of range, or there are not as many as ids.
        """
        kept = self.storage.priorities
        if kept is None:
            raise DataError("the buffer keeps no priorities", where="update_priorities")
        if np.shape(row_ids) != np.shape(priorities):
            raise DataError(
                f"{np.shape(priorities)} priorities for {np.shape(row_ids)} rows", where="priorities"
            )
        weights = kept.weights(priorities)
        rows, live = self.storage.index.find(np.asarray(row_ids, np.int64))
        dropped = len(live) - len(rows.row)
        groups = self.storage.index.group_of(rows.block, rows.row)
        kept.assign(rows.block, rows.offset, weights[live] if dropped else weights, groups)
        kept.highest = max(kept.highest, float(np.max(priorities, initial=0)))
        self.updates_dropped += dropped
        return dropped

    def get_trajectory_statistics(self) -> dict[str, float]:
        """Numbers and lengths of the trajectories, their returns and on-policiness scores."""
        return trajectory_statistics(self.storage)

    def get_partition_statistics(self) -> dict[str, dict[str, Any]]:
        """Of each partition what it holds, may hold, and has counted."""
        return partition_statistics(self.storage)

    def get_all_trajectories(self, split: Wanted = None, *, where: Where | None = None) -> TrajectorySample:
        """All trajectories, oldest first, as steps laid end to end; a copy.

        Args:
            split: ``train``, ``val`` or None for both.
            where: which trajectories; its split gives way to ``split``.

        Raises:
            DataError: there is none.
        """
        request = Request(Trajectories(), make_sampler("uniform"), with_split(where, split))
        found = self._view(request).candidates
        if not len(found.entry):
            raise DataError(f"no {request} in the replay buffer", where="replay buffer")
        specs = common_specs(self.storage, request)
        return TrajectorySample(trajectory_batch(self.storage, found.entry, specs), self.device)

    def save(self, path: Path | str) -> Path:
        """Writes the buffer with scores, splits, priorities and counters to a folder, whole or not at all.

        A buffer that was saved there before is replaced.

        Raises:
            StorageError: there is not room enough, or the disk cannot be written.
            RunError: something else stands there.
        """
        return save_buffer(self, Path(path))

    @classmethod
    def load(
        cls, path: Path | str, env: Any = None, device: str = "cpu", *, store: BlockStore | None = None
    ) -> Self:
        """Reads a buffer that ``save`` wrote; it goes on as the saved one would have.

        Args:
            path: the folder.
            env: an environment, single or vectorized, whose spaces must be those of the buffer.
            device: where the tensors of samples go.
            store: where sealed blocks live.

        Raises:
            IntegrityError: the buffer is missing, cut short, altered or of an unknown version.
            SpaceError: the environment has other spaces; all differences are named.
        """
        return load_buffer(cls, Path(path), env, device, store)

    def draw_request(self, request: Request, sizes: Sequence[int]) -> list[Drawn]:
        """Draws several samples of what a request asks for; see ``Sampled``."""
        drawn = draw([self], request, sizes, generator(self.options.seed, Role.replay, self.rank, self.draws))
        self.draws += 1
        return drawn

    def save_checkpoint(self, folder: Path, mode: Mode = "auto", segments: Path | None = None) -> None:
        """Writes the buffer to a checkpoint's folder.

        Args:
            folder: the folder.
            mode: ``full``: all of it is there. ``reference``: what changes is there, and the names of
                segments, files of sealed blocks that are written once. ``auto``: ``full`` below 256 MB.
            segments: folder of the segments; ``segments`` beside the checkpoint when not given.

        Raises:
            StorageError: there is not room enough, or the disk cannot be written.
        """
        resolved = resolve_mode(mode, checkpoint_bytes(self))
        part = shard_folder(folder, 0)
        if resolved == "full":
            self.save(part)
        else:
            save_reference(self, part, segments or folder.absolute().parent / SEGMENTS)
        write_checkpoint(folder, CheckpointManifest(mode=resolved, shards=1, draws=self.draws))

    def restore_checkpoint(self, folder: Path) -> None:
        """Goes back, or forward, to a checkpoint; a buffer that was in one shard draws as that would have.

        A checkpoint of several shards is taken in episode by episode: with new row ids, priorities that begin
        at the highest, and no scores.

        Raises:
            IntegrityError: a file is missing, altered, or of another buffer; nothing is changed then.
        """
        manifest = read_checkpoint(folder)
        verify_checkpoint(folder, manifest, self, [])
        if manifest.shards == 1:
            kind = ReplayBuffer
            back = read_back(kind, shard_folder(folder, 0), manifest.mode, HeapStore(), self.device)
        else:
            back = ReplayBuffer(self.spaces, self.env, self.options, device=self.device, rank=self.rank)
            parts = [shard_folder(folder, i) for i in range(manifest.shards)]
            deal_again(back, parts, manifest.mode, Lanes(1, (0,)))
        self.storage, self.draws, self.updates_dropped = back.storage, manifest.draws, back.updates_dropped
        self._views.clear()

    def census(self, request: Request) -> Census:
        """As a shard: what the sampler has to know of it."""
        return request.sampler.census(self._view(request))

    def offer(self, request: Request, union: Census) -> Offer:
        """As a shard: how much of a request is here."""
        view = self._view(request)
        if view.count == 0:
            return Offer(0.0, 0)
        return Offer(float(request.sampler.mass(view, union)), view.count)

    def draw(self, request: Request, n: int, union: Census, generator: np.random.Generator) -> Sample:
        """As a shard: draws n items from here alone."""
        self.items_sampled += n
        picked = request.sampler.draw(self._view(request), n, union, generator)
        if not is_rayrls_own(request.sampler):
            check_picked(self.storage, picked, request, n)
        specs = common_specs(self.storage, request)
        target = request.target
        if isinstance(target, Fragments):
            return read_fragments(self.storage, picked, target, specs, self.device)
        if isinstance(target, Trajectories):
            return read_trajectories(self.storage, picked, specs, self.device)
        return read_transitions(self.storage, picked, target, specs, self.device)

    def _view(self, request: Request) -> View:
        """The view of a request, kept until the buffer changes."""
        if self._views_of != self.storage.index.change or len(self._views) > _MOST_VIEWS:
            self._views.clear()
            self._views_of = self.storage.index.change
        key = request.target, request.where
        if key not in self._views:
            self._views[key] = View(self.storage, *key)
        return self._views[key]
