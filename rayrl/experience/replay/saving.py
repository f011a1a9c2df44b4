"""Saving a replay buffer, block by block."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rayrl.errors import RunError, StorageError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.replay import saved
from rayrl.experience.replay.partition import Partition
from rayrl.experience.replay.storage import ReplayStorage
from rayrl.storage.atomic import atomic_folder, write_json
from rayrl.storage.manifest import MANIFEST_FILE
from rayrl.storage.versions import versions

if TYPE_CHECKING:
    from rayrl.experience.replay.buffer import ReplayBuffer

_FREE_BYTES = 16 << 20
"""To be left free, beyond the buffer's own bytes: manifests, footers, rounding to pages."""
_EXTRA_ROW_BYTES = 16
_EXTRA_TRAJECTORY_BYTES = 40


def save_buffer(buffer: ReplayBuffer, path: Path) -> Path:
    """Writes a buffer to a folder, in constant memory; see ``ReplayBuffer.save``."""
    check_target(path)
    _check_space(buffer.storage, path)
    storage = buffer.storage
    storage.drop_empty()
    with atomic_folder(path, "a replay buffer") as folder:
        partitions = [_save_partition(buffer, partition, folder) for partition in storage.partitions]
        manifest = saved.BufferManifest(
            format_version=saved.FORMAT_VERSION,
            kind="replay_buffer",
            env=buffer.env,
            spaces=buffer.spaces.to_json(),
            options=buffer.options.model_copy(update={"block_rows": storage.index.block_rows}),
            draws=buffer.draws,
            updates_dropped=buffer.updates_dropped,
            highest_priority=storage.priorities.highest if storage.priorities else 1.0,
            next_block=storage.index.next_number,
            next_trajectory=storage.index.next_trajectory,
            partitions=partitions,
            versions=versions(),
        )
        write_json(folder / MANIFEST_FILE, manifest.model_dump(mode="json"), "the buffer's manifest")
    return path


def check_target(path: Path) -> None:
    """Checks that a buffer may be saved to a folder.

    Raises:
        RunError: something else is there.
    """
    if path.exists() and not saved.is_saved_buffer(path):
        raise RunError(
            "is there already, and is no saved replay buffer",
            where=str(path),
            remedy="choose another folder, or delete this one",
        )


def saved_bytes(storage: ReplayStorage) -> int:
    """About how many bytes a buffer takes on disk."""
    total = 0
    for partition in storage.partitions:
        if partition.specs is None:
            continue
        sealed = list(partition.blocks)
        if partition.open_block is not None:
            sealed.pop()
            total += partition.open_block.nbytes + _EXTRA_ROW_BYTES * partition.open_block.used
        for block in sealed:
            held = storage.columns.hot.nbytes(block)
            record = storage.index.blocks.rows[block]
            live = int(record["live"])
            total += held * live // int(record["stored"]) + _EXTRA_ROW_BYTES * live
        total += _EXTRA_TRAJECTORY_BYTES * partition.counters.trajectories
    return total


def _check_space(storage: ReplayStorage, path: Path) -> None:
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    needed, free = saved_bytes(storage) + _FREE_BYTES, shutil.disk_usage(existing).free
    if needed > free:
        raise StorageError(
            f"the replay buffer takes about {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free",
            where=str(path),
            remedy="free space there, choose a folder on another disk, or keep less in the buffer",
        )


def _save_partition(buffer: ReplayBuffer, partition: Partition, folder: Path) -> saved.SavedPartition:
    index, blocks = buffer.storage.index, partition.blocks
    if blocks:
        with DatasetWriter(folder / partition.name, spaces=buffer.spaces, env=buffer.env) as writer:
            for block in blocks:
                writer.append(_saved_batch(buffer.storage, block, partition))
            writer.finish({"replay_partition": partition.name})
    return saved.SavedPartition(
        name=partition.name,
        counters=asdict(partition.counters),
        watermarks=[(name, *mark) for name, mark in sorted(partition.producers.watermarks.items())],
        threshold=partition.threshold,
        blocks=[(int(record["number"]), int(record["used"])) for record in index.blocks.rows[list(blocks)]],
        open=partition.open_block is not None,
    )


def _saved_batch(storage: ReplayStorage, block: int, partition: Partition) -> TrajectoryBatch:
    """The live rows of a block, with what the index knows of them."""
    found = storage.contents(block, partition)
    entries = np.full(found.batch.num_steps, block)
    steps = {saved.ROW_ID: storage.index.row_ids(entries, found.offsets)}
    if storage.priorities is not None:
        steps[saved.PRIORITY_WEIGHT] = storage.priorities.trees.leaves[block, found.offsets]
    records = storage.index.trajectories.rows[found.owners]
    return found.batch.with_columns(**steps).with_trajectory_columns(
        **{
            saved.TRAJECTORY_ID: records["id"].copy(),
            saved.TRAJECTORY_RETURN: records["returned"].copy(),
            saved.SCORE: records["score"].copy(),
            saved.SCORE_VERSION: records["score_version"].copy(),
        }
    )
