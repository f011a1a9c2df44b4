"""Restoring checkpoints of a replay buffer: as it was, or dealt anew to another number of shards."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rayrl.errors import DataError, IntegrityError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import open_dataset
from rayrl.experience.replay import saved
from rayrl.experience.replay.checkpoints import (
    STATE_FILE,
    After,
    CheckpointManifest,
    ShardState,
    locate_segments,
    read_shard,
    restore_changing,
    save_reference,
    shard_folder,
)
from rayrl.experience.replay.lanes import Lanes
from rayrl.experience.replay.loading import load_buffer
from rayrl.experience.replay.restoring import Keep, copy_into, restore_state
from rayrl.experience.replay.saved import read_buffer_manifest
from rayrl.experience.replay.segments import REMEDY, bring_segment, read_segment
from rayrl.experience.replay.spool import Spool
from rayrl.experience.replay.store import BlockStore, HeapStore, Marks, Segment
from rayrl.storage.atomic import write_text
from rayrl.storage.spaces import Spaces

if TYPE_CHECKING:
    from rayrl.experience.replay.buffer import ReplayBuffer

ASIDE = "aside"

B = TypeVar("B", bound="ReplayBuffer")

_log = logging.getLogger(__name__)


def verify_checkpoint(
    folder: Path, manifest: CheckpointManifest, of: ReplayBuffer, places: list[Path]
) -> None:
    """Checks that all of a checkpoint is there and fits a buffer.

    Args:
        folder: the checkpoint.
        manifest: its manifest.
        of: the buffer that it is for.
        places: folders that may have its segments, beside those that it names.

    Raises:
        IntegrityError: a file is missing, altered, or of another buffer.
    """
    for rank in range(manifest.shards):
        part = shard_folder(folder, rank)
        if manifest.mode == "full":
            found = read_buffer_manifest(part)
            spaces, options = found.spaces, found.options
        else:
            shard = read_shard(part)
            locate_segments(part, shard, places, verify=True)
            spaces, options = shard.spaces, shard.options
        differences = Spaces.from_json(spaces).differences(of.spaces)
        if list(options.partitions) != list(of.options.partitions):
            differences = [
                *differences,
                f"partitions {list(options.partitions)} against {list(of.options.partitions)}",
            ]
        if differences:
            raise IntegrityError(
                f"the checkpoint is that of another buffer: {'; '.join(differences)}", where=str(part)
            )


def read_back(
    kind: type[ReplayBuffer], folder: Path, mode: str, store: BlockStore, device: str
) -> ReplayBuffer:
    """One shard of a checkpoint as a buffer, which draws what the saved one would have drawn.

    Args:
        kind: class of the buffer.
        folder: of the shard.
        mode: ``full`` or ``reference``.
        store: where sealed blocks are to be; what is there is in memory of its own.
        device: where the tensors of samples go.

    Raises:
        IntegrityError: a file is missing or damaged.
    """
    if mode == "full":
        return load_buffer(kind, folder, None, device, store)
    shard = read_shard(folder)
    return _rebuild(kind, folder, shard, locate_segments(folder, shard), store, copy_into(store), device)


class Later(NamedTuple):
    """Steps that a spool held and the checkpoint that it was restored to does not.

    Args:
        steps: how many.
        aside: folder in which they are kept aside; None where they stayed in the buffer.
        epoch: the newest of their producers' epochs.
    """

    steps: int = 0
    aside: Path | None = None
    epoch: int = 0


def read_into_spool(
    kind: type[ReplayBuffer],
    live: ReplayBuffer,
    spool: Spool,
    folder: Path,
    identity: str | None,
    mode: str,
    after: After,
) -> tuple[ReplayBuffer, Spool, Later]:
    """One shard of a checkpoint as a buffer over a spool, whose contents it takes the place of.

    What the spool holds that was added after the checkpoint is kept aside, in its folder ``aside``.

    Args:
        kind: class of the buffer.
        live: what the spool holds now.
        spool: the spool.
        folder: of the shard.
        identity: of the spool that the shard had when it was saved.
        mode: ``full`` or ``reference``.
        after: ``latest``: keep what the spool holds, if it goes on from the checkpoint. Where that is
            ``full``, priorities begin again.

    Returns:
        The buffer, its spool, and what became of what was later.

    Raises:
        IntegrityError: a file is missing or damaged.
        StorageError: the disk is full or not writable.
    """
    shard = read_shard(folder) if mode == "reference" else None
    goes_on = identity == spool.identity
    of_all = shard.state.partitions if shard is not None else read_buffer_manifest(folder).partitions
    before = {of.name: of.counters["steps_added"] for of in of_all} if goes_on else {}
    added = {of.name: of.counters.steps_added for of in live.storage.partitions}
    later = {name: steps - before.get(name, 0) for name, steps in added.items()}
    if after == "latest" and goes_on and sum(later.values()) > 0:
        if shard is not None:
            restore_changing(live.storage, folder)
        marks = [mark for of in live.storage.partitions for mark in of.producers.watermarks.values()]
        return live, spool, Later(sum(later.values()), epoch=max((epoch for epoch, _ in marks), default=0))
    known = {one.sha256 for one in shard.state.segments} if shard is not None and goes_on else set()
    aside = _keep_aside(live, spool, known, later)
    new = Spool(spool.path, spool.hot_bytes)
    new.identity, new.ticket, new.retained = spool.identity, spool.ticket, spool.retained
    if shard is None:
        buffer = load_buffer(kind, folder, None, live.device, new)
    else:
        found = locate_segments(folder, shard, [spool.folder])
        for segment in shard.state.segments:
            bring_segment(segment, found[segment.sha256], spool.folder)
        sealed = {b.number: b.segment for partition in shard.state.partitions for b in partition.blocks}

        def keep(number: int, data: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
            new.adopt(number, sealed[number])
            return data

        places = dict.fromkeys(found, spool.folder)
        buffer = _rebuild(kind, folder, shard, places, new, keep, live.device)
    new.begin(buffer.storage)
    spool.close()
    return buffer, new, aside


def deal_again(buffer: ReplayBuffer, parts: Sequence[Path], mode: str, lanes: Lanes) -> None:
    """Adds what the shards of another buffer have saved on some lanes to an empty buffer.

    Experience, splits and what was added come back; row ids are new, priorities begin at the highest, scores
    are to be computed again, and each shard's oldest steps are its own. Of saved buffers a block at a time is
    read.

    Args:
        buffer: the buffer.
        parts: folders of the shards.
        mode: ``full``, of saved buffers, or ``reference``.
        lanes: those of this buffer.

    Raises:
        IntegrityError: a file is missing or damaged.
    """
    for part in parts:
        of_part = _saved_contents(part) if mode == "full" else _referred_contents(type(buffer), part)
        for partition, (batches, known) in zip(buffer.storage.partitions, of_part, strict=True):
            for batch in batches:
                buffer.add(lanes.of(batch), partition=partition.name, idempotent=False)
            marks = partition.producers.watermarks
            for name, mark in known.items():
                marks[name] = max(mark, marks.get(name, mark))


_Contents = Iterator[tuple[Iterator[TrajectoryBatch], dict[int, tuple[int, int]]]]
"""Of each partition its trajectories, and the newest batch of each producer."""


def _saved_contents(part: Path) -> _Contents:
    for of in read_buffer_manifest(part).partitions:
        batches = map(_bare, open_dataset(part / of.name).batches()) if of.blocks else iter(())
        yield batches, {name: (epoch, sequence) for name, epoch, sequence in of.watermarks}


def _referred_contents(kind: type[ReplayBuffer], part: Path) -> _Contents:
    old = read_back(kind, part, "reference", HeapStore(), "cpu").storage
    for of in old.partitions:
        blocks = list(of.blocks)
        yield (old.contents(block, of).batch for block in blocks), of.producers.watermarks


def _bare(batch: TrajectoryBatch) -> TrajectoryBatch:
    """The experience alone."""
    kept = saved.STEP_COLUMNS.keys() & batch.columns.keys()
    return batch.drop([*kept, *(saved.TRAJECTORY_COLUMNS.keys() & batch.trajectory_columns.keys())])


def _rebuild(
    kind: type[ReplayBuffer],
    folder: Path,
    shard: ShardState,
    places: dict[str, Path],
    store: BlockStore,
    keep: Keep,
    device: str,
) -> ReplayBuffer:
    buffer = kind(Spaces.from_json(shard.spaces), shard.env, shard.options, store=store, device=device)

    def read(segment: Segment) -> TrajectoryBatch:
        return read_segment(places[segment.sha256], segment)

    try:
        restore_state(buffer.storage, shard.state, read, keep)
    except IntegrityError:
        raise
    except (DataError, LookupError) as error:
        raise IntegrityError(str(error), where=str(folder / STATE_FILE), remedy=REMEDY) from error
    restore_changing(buffer.storage, folder)
    buffer.draws, buffer.updates_dropped = shard.state.draws, shard.state.updates_dropped
    return buffer


def _keep_aside(live: ReplayBuffer, spool: Spool, known: set[str], later: dict[str, int]) -> Later:
    """Keeps what a spool holds, but for segments that a checkpoint knows, and says what of it is later."""
    steps = sum(later.values())
    if steps <= 0:
        return Later()
    folder = spool.path / ASIDE / f"{spool.life:06d}"
    state = save_reference(live, folder, spool.folder, spool.identity)
    for segment in state.state.segments:
        if segment.sha256 not in known and not (folder / segment.name).exists():
            bring_segment(segment, spool.folder, folder)
    _log.warning(
        "%d steps were added after the checkpoint that is restored; they are kept in %s", steps, folder
    )
    told = {
        "steps": steps,
        "partitions": later,
        "segments": sorted(path.name for path in folder.glob("*.arrow")),
    }
    write_text(folder / "aside.json", json.dumps(told, indent=2) + "\n", "what is kept aside")
    return Later(steps, folder)
