"""ShardServer: a replay buffer that answers others' requests, one at a time, wherever it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError, RayrlError, RunError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.replay import scores
from rayrl.experience.replay.adding import Added
from rayrl.experience.replay.buffer import ReplayBuffer
from rayrl.experience.replay.checkpoint_restoring import (
    Later,
    deal_again,
    read_back,
    read_into_spool,
    verify_checkpoint,
)
from rayrl.experience.replay.checkpoints import (
    After,
    CheckpointManifest,
    checkpoint_bytes,
    save_reference,
    shard_folder,
)
from rayrl.experience.replay.groups import Where
from rayrl.experience.replay.lanes import Lanes
from rayrl.experience.replay.live_view import LiveView, live_view
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.requests import Request
from rayrl.experience.replay.samplers import Census
from rayrl.experience.replay.samples import Sample, TrajectorySample
from rayrl.experience.replay.spool import Spool
from rayrl.experience.replay.spool.recovery import spooled_buffer
from rayrl.experience.replay.store import BlockStore, HeapStore
from rayrl.experience.replay.union import Offer, Plan, split, streams_of
from rayrl.storage.spaces import Spaces


@dataclass(frozen=True, slots=True)
class ShardSetup:
    """What a shard is made from, each time that it starts.

    Args:
        spaces: what the batches must fit.
        env: the environment that they come from.
        options: of this shard: its part of the capacities.
        rank: its number.
        store: ``heap``, ``object_store`` or ``spool``.
        spool: folder of the shard's spool.
        hot_bytes: how much of sealed blocks to keep at hand; None: as the store thinks best.
        shards: number of shards.
        device: where the tensors of samples go.
    """

    spaces: Spaces
    env: EnvInfo
    options: ReplayOptions
    rank: int
    store: str = "heap"
    spool: Path | None = None
    hot_bytes: int | None = None
    shards: int = 1
    device: str = "cpu"

    def make_store(self) -> BlockStore:
        """A new store."""
        if self.store == "heap":
            return HeapStore()
        from rayrl.experience.replay.sharded.object_store import ObjectStore, share_of_object_store

        return ObjectStore(share_of_object_store(self.shards) if self.hot_bytes is None else self.hot_bytes)


Prepare = Callable[[TrajectoryBatch], TrajectoryBatch]
"""Makes another batch of the same trajectories, such as one with actions in other units."""


class Ack(NamedTuple):
    """What a shard says to an add.

    Args:
        ticket: the add's number.
        expected: the number of the add that comes next.
        added: what became of the batch; None: it was not looked at, since adds before it are missing.
        steps: steps that the shard holds now.
        life: how often the shard has started.
    """

    ticket: int
    expected: int
    added: Added | None
    steps: int
    life: int


class Survey(NamedTuple):
    """What a shard has of a request, before anything is drawn.

    Args:
        census: what others must know of it.
        offer: how much it has, where no sampler needs a census to tell.
        life: how often the shard has started.
    """

    census: Census
    offer: Offer | None
    life: int


class ShardServer:
    """One shard of a replay buffer.

    Adds carry tickets, numbers without gaps. An add that comes twice is passed over, and one that comes too
    early is not taken, so that all are applied once and in order whatever was lost on the way.

    Args:
        setup: what to make it from. Where that fails every call raises the error.
    """

    def __init__(self, setup: ShardSetup) -> None:
        self._setup = setup
        self._error: RayrlError | None = None
        self._ticket = 0
        self._life = 1
        self._spool: Spool | None = None
        try:
            self._buffer = self._start()
        except RayrlError as error:
            self._error = error

    @property
    def buffer(self) -> ReplayBuffer:
        """The buffer.

        Raises:
            RayrlError: the shard could not start.
        """
        if self._error is not None:
            raise self._error
        return self._buffer

    def resume(self, ticket: int) -> Ack:
        """Says where adds go on; ``ticket`` is that of the first one that the caller has no answer to."""
        steps = len(self.buffer)
        known = self._ticket
        self._ticket = max(self._ticket, ticket - 1)
        return Ack(known, self._ticket + 1, None, steps, self._life)

    def add(
        self,
        ticket: int,
        batch: TrajectoryBatch,
        partition: str | None,
        lanes: Lanes | None,
        idempotent: bool,
        prepare: Prepare | None = None,
    ) -> Ack:
        """Adds a batch, or some lanes of it, or what ``prepare`` makes of it; see ``ReplayBuffer.add``."""
        buffer = self.buffer
        if ticket != self._ticket + 1:
            passed = Added(0, 0, batch.num_trajectories) if ticket <= self._ticket else None
            return Ack(ticket, self._ticket + 1, passed, len(buffer), self._life)
        batch.validate()
        part = batch if lanes is None else lanes.of(batch)
        if prepare is not None:
            part = prepare(part)
        self._ticket = ticket
        if self._spool is not None:
            self._spool.ticket = ticket - 1
        added = buffer.add(part, partition=partition, idempotent=idempotent)
        return Ack(ticket, ticket + 1, added, len(buffer), self._life)

    def survey(self, request: Request) -> Survey:
        """What is here of a request: the census, and where that is empty the offer too."""
        census = self.buffer.census(request)
        return Survey(census, None if census else self.buffer.offer(request, {}), self._life)

    def offer(self, request: Request, union: Census) -> Offer:
        """How much of a request is here, given the census of the union."""
        return self.buffer.offer(request, union)

    def draw(
        self,
        request: Request,
        counts: Sequence[int],
        union: Census,
        generators: Sequence[np.random.Generator],
    ) -> tuple[Any, ...]:
        """Draws some samples; gives the shard's life, then each sample."""
        drawn = [
            self.buffer.draw(request, count, union, generator)
            for count, generator in zip(counts, generators, strict=True)
        ]
        return (self._life, *drawn)

    def draw_alone(
        self, request: Request, sizes: Sequence[int], generator: np.random.Generator
    ) -> tuple[Any, ...]:
        """Draws samples as the only shard there is; gives the plan, then each sample."""
        union = self.buffer.census(request)
        plan: Plan = split([self.buffer.offer(request, union)], request, sizes, generator)
        parts: list[Sample] = []
        for size, child in zip(sizes, streams_of(generator, len(sizes)), strict=True):
            parts.append(self.buffer.draw(request, size, union, child))
        return ((plan, self._life), *parts)

    def update_priorities(
        self,
        row_ids: NDArray[np.int64],
        priorities: NDArray[np.floating[Any]],
        shards: NDArray[np.int64] | None,
    ) -> int:
        """Gives the steps of this shard among some of the union's new priorities; gives how many are gone."""
        if np.shape(row_ids) != np.shape(priorities):
            raise DataError(
                f"{np.shape(priorities)} priorities for {np.shape(row_ids)} rows", where="priorities"
            )
        mine = np.asarray(shards) == self._setup.rank if shards is not None else slice(None)
        return self.buffer.update_priorities(np.asarray(row_ids)[mine], np.asarray(priorities)[mine])

    def drop_updates(self, shards: NDArray[np.int64], lost: Sequence[int]) -> int:
        """Counts the new priorities that were for steps of lost shards, which have gone with them."""
        dropped = int(np.isin(shards, lost).sum())
        self.buffer.updates_dropped += dropped
        return dropped

    def score(
        self, agent: scores.Scorer, policy_version: int | None, max_age: int, where: Where | None
    ) -> int:
        """Computes scores that are missing or too old; see ``ReplayBuffer.score``."""
        return self.buffer.score(agent, policy_version=policy_version, max_age=max_age, where=where)

    def trajectories(self, where: Where | None) -> TrajectorySample | None:
        """All trajectories, oldest first; None where there are none."""
        try:
            return self.buffer.get_all_trajectories(where=where)
        except DataError:
            return None

    def trajectory_statistics(self) -> dict[str, float]:
        """See ``ReplayBuffer``."""
        return self.buffer.get_trajectory_statistics()

    def partition_statistics(self) -> dict[str, dict[str, Any]]:
        """See ``ReplayBuffer``."""
        return self.buffer.get_partition_statistics()

    def live_view(self) -> LiveView:
        """What it is like now."""
        return live_view(self.buffer)

    def size(self) -> tuple[int, int]:
        """Steps and trajectories held."""
        return len(self.buffer), self.buffer.num_trajectories

    def disk_bytes(self) -> int:
        """About how many bytes a full checkpoint of it takes."""
        return checkpoint_bytes(self.buffer)

    def save_checkpoint(self, part: Path, mode: str, segments: Path) -> str | None:
        """Writes its part of a checkpoint to a folder; see ``ShardedReplayBuffer.save_checkpoint``.

        Returns:
            The identity of its spool, where it has one.
        """
        if mode == "full":
            self.buffer.save(part)
        elif self._spool is not None:
            spool = self._spool
            save_reference(self.buffer, part, spool.folder, spool.identity, spool.retain)
        else:
            save_reference(self.buffer, part, segments)
        return None if self._spool is None else self._spool.identity

    def verify_checkpoint(self, folder: Path, manifest: CheckpointManifest) -> None:
        """Checks that all of a checkpoint is within its reach."""
        places = [] if self._spool is None else [self._spool.folder]
        verify_checkpoint(folder, manifest, self.buffer, places)

    def restore_checkpoint(self, folder: Path, manifest: CheckpointManifest, after: After) -> Later:
        """Restores its part of a checkpoint; see ``ShardedReplayBuffer.restore_checkpoint``."""
        rank = self._setup.rank
        parts = [shard_folder(folder, i) for i in range(manifest.shards)]
        identity = manifest.spools[rank] if len(manifest.spools) > rank else None
        return self._restore(parts, manifest.mode, identity, after)

    def load(self, path: Path) -> None:
        """Takes its part of a saved buffer in; see ``ShardedReplayBuffer.load``.

        Raises:
            RunError: its spool holds something already.
        """
        if len(self.buffer):
            raise RunError(
                f"its spool holds {len(self.buffer)} steps, and a saved buffer is loaded into empty shards",
                where=f"replay shard {self._setup.rank}",
                remedy="give another folder for the spool, or delete this one",
            )
        self._restore([path], "full", None, "checkpoint")

    def sweep(self, named: set[str]) -> list[str]:
        """Of a spool, deletes the segments that nobody needs; ``named`` are those that checkpoints do."""
        spool = self._spool
        if spool is None:
            return []
        spool.release(named & {path.stem for path in spool.folder.glob("*.arrow")})
        return spool.sweep()

    def process(self) -> int:
        """The id of its process."""
        return os.getpid()

    def save(self, path: Path) -> Path:
        """See ``ReplayBuffer.save``."""
        return self.buffer.save(path)

    def _restore(self, parts: Sequence[Path], mode: str, identity: str | None, after: After) -> Later:
        """Takes over what the shards of a buffer have saved, of which this is one if they are as many."""
        live, setup = self.buffer, self._setup
        if len(parts) != setup.shards:
            self._deal_again(parts, mode)
        elif self._spool is not None:
            self._buffer, self._spool, later = read_into_spool(
                ReplayBuffer, live, self._spool, parts[setup.rank], identity, mode, after
            )
            self._life = self._spool.life
            return later
        else:
            self._buffer = read_back(ReplayBuffer, parts[setup.rank], mode, setup.make_store(), setup.device)
        return Later()

    def _deal_again(self, parts: Sequence[Path], mode: str) -> None:
        setup = self._setup
        if self._spool is None:
            self._buffer = self._start()
        elif len(self.buffer):
            raise RunError(
                f"its spool holds {len(self.buffer)} steps; one of {len(parts)} shards is dealt "
                "to empty ones",
                where=f"replay shard {setup.rank}",
                remedy=f"restore into {len(parts)} shards, or with an empty spool",
            )
        deal_again(self.buffer, parts, mode, Lanes(setup.shards, (setup.rank,)))
        if self._spool is not None:
            self._ticket = self._spool.ticket

    def _start(self) -> ReplayBuffer:
        setup = self._setup
        if setup.spool is not None:
            buffer, self._spool = spooled_buffer(
                setup.spaces,
                setup.env,
                setup.options,
                setup.spool,
                hot_bytes=setup.hot_bytes,
                device=setup.device,
            )
            self._ticket, self._life = self._spool.ticket, self._spool.life
            return buffer
        return ReplayBuffer(
            setup.spaces, setup.env, setup.options, store=setup.make_store(), device=setup.device
        )
