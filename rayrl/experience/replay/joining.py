"""Joining what shards have saved to one saved buffer, in constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import open_dataset
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.replay import saved
from rayrl.experience.replay.loading import by_block
from rayrl.experience.replay.options import ReplayOptions
from rayrl.storage.atomic import write_json
from rayrl.storage.manifest import MANIFEST_FILE
from rayrl.storage.spaces import Spaces
from rayrl.storage.versions import versions


def join_saved(shards: Sequence[Path], folder: Path, options: ReplayOptions, *, draws: int) -> None:
    """Writes one saved buffer that holds what several have.

    Blocks and trajectories get numbers of their own, those of the first shard the lowest, which count as the
    oldest; within a block row ids close ranks. All else stays: priorities, scores, splits, and sums of
    counters.

    Args:
        shards: folders of saved buffers that are shards of one.
        folder: where to; it is there, and empty.
        options: of the buffer over the shards.
        draws: how often samples were drawn from it.

    Raises:
        IntegrityError: a saved buffer is missing or damaged.
        StorageError: the disk is full or not writable.
    """
    manifests = [saved.read_buffer_manifest(shard) for shard in shards]
    first_blocks = [0, *accumulate(manifest.next_block for manifest in manifests)]
    first_trajectories = [0, *accumulate(manifest.next_trajectory for manifest in manifests)]
    spaces = Spaces.from_json(manifests[0].spaces)
    rows = max(manifest.options.block_rows or 0 for manifest in manifests)
    partitions = []
    for i, name in enumerate(options.partitions):
        parts = [manifest.partitions[i] for manifest in manifests]
        blocks: list[tuple[int, int]] = []
        if any(part.blocks for part in parts):
            with DatasetWriter(folder / name, spaces=spaces, env=manifests[0].env) as writer:
                for k, shard in enumerate(shards):
                    if not parts[k].blocks:
                        continue
                    old_rows = manifests[k].options.block_rows or rows
                    for number, batch in by_block(open_dataset(shard / name), old_rows):
                        new = first_blocks[k] + number
                        writer.append(_renumbered(batch, new * rows, first_trajectories[k]))
                        blocks.append((new, batch.num_steps))
                writer.finish({"replay_partition": name})
        partitions.append(_joined(parts, blocks))
    manifest = manifests[0].model_copy(
        update={
            "options": options.model_copy(update={"block_rows": rows}),
            "draws": draws,
            "updates_dropped": sum(manifest.updates_dropped for manifest in manifests),
            "highest_priority": max(manifest.highest_priority for manifest in manifests),
            "next_block": first_blocks[-1],
            "next_trajectory": first_trajectories[-1],
            "partitions": partitions,
            "versions": versions(),
        }
    )
    write_json(folder / MANIFEST_FILE, manifest.model_dump(mode="json"), "the buffer's manifest")


def _renumbered(batch: TrajectoryBatch, first_row: int, first_trajectory: int) -> TrajectoryBatch:
    """The rows of a block with ids from ``first_row`` on, in the order of their old ones."""
    old: Any = batch.columns[saved.ROW_ID]
    trajectories: Any = batch.trajectory_columns[saved.TRAJECTORY_ID]
    row_ids = np.empty(batch.num_steps, np.int64)
    row_ids[np.argsort(old, kind="stable")] = first_row + np.arange(batch.num_steps)
    return batch.with_columns(**{saved.ROW_ID: row_ids}).with_trajectory_columns(
        **{saved.TRAJECTORY_ID: trajectories + first_trajectory}
    )


def _joined(parts: Sequence[saved.SavedPartition], blocks: list[tuple[int, int]]) -> saved.SavedPartition:
    marks: dict[int, tuple[int, int]] = {}
    for part in parts:
        for producer, epoch, sequence in part.watermarks:
            marks[producer] = max((epoch, sequence), marks.get(producer, (-1, -1)))
    return saved.SavedPartition(
        name=parts[0].name,
        counters={name: sum(part.counters[name] for part in parts) for name in parts[0].counters},
        watermarks=[(producer, *mark) for producer, mark in sorted(marks.items())],
        # What is held was let in under its own shard's threshold, and stays.
        threshold=max(part.threshold for part in parts),
        blocks=blocks,
        open=bool(parts[-1].blocks) and parts[-1].open,
    )
