"""Making a buffer over a spool: anew, or as the process before left it."""

from __future__ import annotations

import logging
from pathlib import Path

from rayrl.errors import DataError, IntegrityError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.replay.buffer import ReplayBuffer
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.restoring import restore_state
from rayrl.experience.replay.segments import read_segment
from rayrl.experience.replay.spool.journal import Recovered, Snapshot
from rayrl.experience.replay.spool.spool import Spool
from rayrl.experience.replay.store import Marks
from rayrl.storage.spaces import Spaces

_REMEDY = "give this buffer another folder for its spool, or delete this one"

_log = logging.getLogger(__name__)


def spooled_buffer(
    spaces: Spaces,
    env: EnvInfo,
    options: ReplayOptions,
    path: Path,
    *,
    hot_bytes: int | None = None,
    device: str = "cpu",
) -> tuple[ReplayBuffer, Spool]:
    """A buffer whose every change is on disk before it is acknowledged.

    What a process before this one had added is there again: all that was acknowledged, and what it had just
    written down. Priorities begin again at the highest, scores are to be computed again.

    Args:
        spaces: what the batches must fit.
        env: the environment that they come from.
        options: partitions, capacities, priorities, splits. Capacities may be others than before.
        path: folder of the spool; made where it is missing.
        hot_bytes: how much of the segments to keep mapped; None: all.
        device: where the tensors of samples go.

    Raises:
        IntegrityError: a file of the spool is missing or damaged, or the spool is that of another buffer.
        StorageError: the disk is full or not writable.
    """
    spool = Spool(path, hot_bytes)
    found = spool.recovered()
    if found is not None:
        _check(found.snapshot, spaces, options, path)
        options = options.model_copy(update={"block_rows": found.snapshot.block_rows})
    buffer = ReplayBuffer(spaces, env, options, store=spool, device=device)
    if found is not None:
        try:
            _recover(buffer, spool, found)
        except IntegrityError:
            raise
        except (DataError, LookupError) as error:
            raise IntegrityError(f"the spool is damaged: {error}", where=str(path), remedy=_REMEDY) from error
        _log.info("%s holds %d steps of an earlier process, which are taken over", path, len(buffer))
    spool.begin(buffer.storage)
    return buffer, spool


def _recover(buffer: ReplayBuffer, spool: Spool, found: Recovered) -> None:
    storage, state = buffer.storage, found.snapshot.state
    sealed = {block.number: block.segment for partition in state.partitions for block in partition.blocks}

    def keep(number: int, data: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
        spool.adopt(number, sealed[number])
        return data

    restore_state(storage, state, lambda segment: read_segment(spool.folder, segment), keep)
    index = storage.index
    following = index.next_trajectory
    for partition in storage.partitions:
        partition.reserved = found.reserved.get(partition.name)
        for record in spool.records(found, partition.code, partition.name):
            origin = record.batch if record.remembered else None
            # Trajectories get the ids that they had, in whatever order partitions are gone through.
            index.next_trajectory = (
                found.next_trajectory[partition.name] if record.done else record.next_trajectory
            )
            storage.take_in(record.batch, origin, partition, record.done)
            following = max(following, index.next_trajectory)
            spool.ticket = max(spool.ticket, record.ticket)
    index.next_trajectory = following


def _check(snapshot: Snapshot, spaces: Spaces, options: ReplayOptions, path: Path) -> None:
    differences = Spaces.from_json(snapshot.spaces).differences(spaces)
    names = [partition.name for partition in snapshot.state.partitions]
    if names != list(options.partitions):
        differences = [*differences, f"partitions {names} against {list(options.partitions)}"]
    if differences:
        raise IntegrityError(
            f"the spool is that of another buffer: {'; '.join(differences)}", where=str(path), remedy=_REMEDY
        )
