"""Checkpoints of a replay buffer: all of it, or what changes and the names of segments that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from rayrl.config.base import Config
from rayrl.errors import ConfigError, DataError, IntegrityError
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.saving import saved_bytes
from rayrl.experience.replay.segments import REMEDY, marked, verify_segment, write_segment
from rayrl.experience.replay.state import BufferState, buffer_state, partition_state
from rayrl.experience.replay.storage import ReplayStorage
from rayrl.experience.replay.store import Segment
from rayrl.storage.atomic import atomic_file, read_json, write_json
from rayrl.storage.manifest import check_format_version

if TYPE_CHECKING:
    from rayrl.experience.replay.buffer import ReplayBuffer

FORMAT_VERSION = "1.0"
CHECKPOINT_FILE, STATE_FILE = "replay.json", "state.json"
WEIGHTS_FILE, SCORES_FILE = "priorities.arrow", "scores.arrow"
SEGMENTS = "segments"
FULL_BELOW = 256_000_000
"""Bytes up to which a checkpoint holds everything, where the mode is ``auto``."""

Mode = Literal["auto", "full", "reference"]
After = Literal["checkpoint", "latest"]


class CheckpointManifest(Config):
    """``replay.json``: of which shards a checkpoint is, each in a folder ``shard-<number>``."""

    format_version: str = FORMAT_VERSION
    kind: Literal["replay_checkpoint"] = "replay_checkpoint"
    mode: Literal["full", "reference"]
    shards: int
    draws: int
    spools: tuple[str, ...] = ()
    """Identities of the shards' spools, where they have such."""
    updates_dropped: int = 0


class ShardState(Config):
    """``state.json`` of a shard in a checkpoint by reference."""

    format_version: str = FORMAT_VERSION
    identity: str | None
    """Of the spool that the segments are in; None: they are in a folder of their own."""
    segments: str
    """Where the sealed blocks' segments are; those of open blocks are beside this file."""
    env: EnvInfo
    spaces: dict[str, Any]
    options: ReplayOptions
    state: BufferState


def resolve_mode(mode: Mode, nbytes: int) -> Literal["full", "reference"]:
    """What ``auto`` means for a buffer of so many bytes on disk."""
    if mode == "auto":
        return "full" if nbytes < FULL_BELOW else "reference"
    return mode


def shard_folder(folder: Path, rank: int) -> Path:
    """Where a checkpoint, or a spool, has what is one shard's own."""
    return folder.absolute() / f"shard-{rank:05d}"


def write_checkpoint(folder: Path, manifest: CheckpointManifest) -> None:
    """Declares a checkpoint complete.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_json(folder / CHECKPOINT_FILE, manifest.model_dump(), "the replay buffer's checkpoint")


def read_checkpoint(folder: Path) -> CheckpointManifest:
    """What a checkpoint is of.

    Raises:
        IntegrityError: it is missing, damaged, or of an unknown version.
    """
    manifest: CheckpointManifest = _read(CheckpointManifest, folder / CHECKPOINT_FILE)
    return manifest


def read_shard(folder: Path) -> ShardState:
    """The state of a shard in a checkpoint by reference.

    Raises:
        IntegrityError: it is missing, damaged, or of an unknown version.
    """
    shard: ShardState = _read(ShardState, folder / STATE_FILE)
    return shard


def locate_segments(
    folder: Path, shard: ShardState, places: Iterable[Path] = (), *, verify: bool = False
) -> dict[str, Path]:
    """Finds every segment of a shard; gives the folder in which each is, by its hash.

    Args:
        folder: of the shard in the checkpoint.
        shard: its state.
        places: folders to look in for the segments of sealed blocks before that which the state names.
        verify: check every byte.

    Raises:
        IntegrityError: one is in none of them, or altered.
    """
    found = {}
    looked = [folder, *places, Path(shard.segments)]
    for segment in shard.state.segments:
        place = next((place for place in looked if (place / segment.name).is_file()), None)
        if place is None:
            raise IntegrityError(
                f"names segment {segment.name}, which is in none of {', '.join(map(str, looked))}",
                where=str(folder / STATE_FILE),
                remedy=REMEDY,
            )
        if verify:
            verify_segment(place, segment)
        found[segment.sha256] = place
    return found


def save_reference(
    buffer: ReplayBuffer,
    folder: Path,
    segments: Path,
    identity: str | None = None,
    retain: Callable[[set[str]], None] | None = None,
) -> ShardState:
    """Writes what changes of a buffer to a folder, and the segments of sealed blocks that are missing.

    Args:
        buffer: which.
        folder: where to.
        segments: folder of the segments.
        identity: of the spool that this folder is of, if it is.
        retain: hears of the segments of sealed blocks before the folder names them.

    Raises:
        StorageError: the disk is full or not writable.
    """
    storage = buffer.storage
    storage.finish()
    storage.drop_empty()
    folder.mkdir(parents=True, exist_ok=True)
    state = buffer_state(
        storage,
        [
            partition_state(
                storage,
                partition,
                lambda block: _sealed_segment(storage, block, segments),
                lambda block: _write_block(storage, block, folder),
            )
            for partition in storage.partitions
        ],
        draws=buffer.draws,
        updates_dropped=buffer.updates_dropped,
    )
    _write_changing(storage, folder)
    if retain is not None:
        retain({block.segment.sha256 for partition in state.partitions for block in partition.blocks})
    shard = ShardState(
        identity=identity,
        segments=str(segments.absolute()),
        env=buffer.env,
        spaces=buffer.spaces.to_json(),
        options=buffer.options.model_copy(update={"block_rows": storage.index.block_rows}),
        state=state,
    )
    write_json(folder / STATE_FILE, shard.model_dump(mode="json"), "the replay buffer's state")
    return shard


def restore_changing(storage: ReplayStorage, folder: Path) -> None:
    """Gives the rows that are here the priorities, and the trajectories the scores, of a checkpoint.

    Raises:
        IntegrityError: a file is missing or damaged.
    """
    index = storage.index
    if storage.priorities is not None:
        table = _read_table(folder / WEIGHTS_FILE)
        numbers = table["number"].to_numpy()
        offsets = table["weights"].offsets.to_numpy()
        values = table["weights"].values.to_numpy()
        for i, number in enumerate(numbers.tolist()):
            weights = values[offsets[i] : offsets[i + 1]]
            rows, live = index.find(number * index.block_rows + np.arange(len(weights)))
            groups = index.group_of(rows.block, rows.row)
            storage.priorities.assign(rows.block, rows.offset, weights[live], groups)
    table = _read_table(folder / SCORES_FILE)
    records = index.trajectories.rows
    entries = np.flatnonzero(records["id"] >= 0)
    order = np.argsort(records["id"][entries])
    entries = entries[order]
    ids = table["trajectory_id"].to_numpy()
    at = np.searchsorted(records["id"][entries], ids)
    known = at < len(entries)
    known[known] = records["id"][entries[at[known]]] == ids[known]
    for name in ("score", "score_version"):
        records[name][entries[at[known]]] = table[name].to_numpy()[known]
    index.change += 1


def named_segments(checkpoints: Iterable[Path]) -> set[str]:
    """Hashes of the segments that some checkpoints name.

    Raises:
        IntegrityError: one of them is damaged.
    """
    named: set[str] = set()
    for checkpoint in checkpoints:
        for state in sorted(checkpoint.glob(f"shard-*/{STATE_FILE}")):
            named |= {segment.sha256 for segment in read_shard(state.parent).state.segments}
    return named


def sweep(segments: Path, checkpoints: Iterable[Path], live: Iterable[Segment] = ()) -> list[str]:
    """Deletes the segments that no retained checkpoint and no live buffer names; gives their names.

    Args:
        segments: their folder.
        checkpoints: folders of the retained checkpoints of the replay buffer.
        live: segments that a buffer still reads.

    Raises:
        IntegrityError: a checkpoint is damaged; nothing is deleted then.
    """
    named = named_segments(checkpoints) | {segment.sha256 for segment in live}
    swept = []
    for path in sorted(segments.glob("*.arrow")):
        if path.stem not in named:
            path.unlink()
            swept.append(path.name)
    return swept


def checkpoint_bytes(buffer: ReplayBuffer) -> int:
    """About how many bytes a buffer takes on disk."""
    return saved_bytes(buffer.storage)


def _sealed_segment(storage: ReplayStorage, block: int, segments: Path) -> Segment:
    """The segment of a sealed block, which is written unless it is there."""
    number = int(storage.index.blocks.rows["number"][block])
    known = storage.segment_of(number)
    if known is not None and (segments / known.name).is_file():
        return known
    segment = storage.segments[number] = _write_block(storage, block, segments)
    return segment


def _write_block(storage: ReplayStorage, block: int, folder: Path) -> Segment:
    partition = storage.partitions[int(storage.index.blocks.rows["partition"][block])]
    found = storage.contents(block, partition)
    return write_segment(folder, marked(found.batch, storage.marks(block, found)))


def _write_changing(storage: ReplayStorage, folder: Path) -> None:
    index = storage.index
    if storage.priorities is not None:
        blocks = [block for partition in storage.partitions for block in partition.blocks]
        used = index.blocks.rows["used"][blocks]
        leaves = [storage.priorities.trees.leaves[b, :n] for b, n in zip(blocks, used.tolist(), strict=True)]
        flat = np.concatenate(leaves) if leaves else np.empty(0, np.float32)
        weights = pa.LargeListArray.from_arrays(pa.array(np.append(0, np.cumsum(used, dtype=np.int64))), flat)
        numbers = pa.array(index.blocks.rows["number"][blocks])
        _write_table(folder / WEIGHTS_FILE, pa.record_batch([numbers, weights], ["number", "weights"]))
    records = index.trajectories.rows
    records = records[records["id"] >= 0]
    columns = {"trajectory_id": "id", "score": "score", "score_version": "score_version"}
    arrays = [pa.array(np.ascontiguousarray(records[name])) for name in columns.values()]
    _write_table(folder / SCORES_FILE, pa.record_batch(arrays, list(columns)))


def _write_table(path: Path, table: pa.RecordBatch) -> None:
    with (
        atomic_file(path, "the replay buffer's state") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_batch(table)


def _read_table(path: Path) -> pa.RecordBatch:
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).get_batch(0)
    except (OSError, pa.ArrowException) as error:
        raise IntegrityError(f"cannot be read: {error}", where=str(path)) from error


def _read(kind: Any, path: Path) -> Any:
    value = read_json(path, "checkpoint of a replay buffer")
    check_format_version(value, FORMAT_VERSION, path)
    try:
        return kind.parse(value, where=str(path))
    except (ConfigError, DataError) as error:
        raise IntegrityError(error.message, where=str(path)) from error
