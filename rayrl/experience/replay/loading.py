"""Loading a saved replay buffer, block by block."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rayrl.errors import DataError, IntegrityError, SpaceError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import Dataset, open_dataset
from rayrl.experience.replay import saved
from rayrl.experience.replay.partition import Counters, Partition
from rayrl.experience.replay.restoring import PartitionRestorer, copy_into
from rayrl.experience.replay.storage import ReplayStorage
from rayrl.experience.replay.store import BlockStore
from rayrl.storage.spaces import Spaces

if TYPE_CHECKING:
    from rayrl.experience.replay.buffer import ReplayBuffer

B = TypeVar("B", bound="ReplayBuffer")


def load_buffer(kind: type[B], path: Path, env: Any, device: str, store: BlockStore | None) -> B:
    """Reads a saved buffer, in constant memory beside its own; see ``ReplayBuffer.load``."""
    manifest = saved.read_buffer_manifest(path)
    spaces = Spaces.from_json(manifest.spaces)
    if env is not None:
        check_env(spaces, env, path)
    buffer = kind(spaces, manifest.env, manifest.options, store=store, device=device)
    storage = buffer.storage
    for of, partition in zip(manifest.partitions, storage.partitions, strict=True):
        if of.blocks:
            dataset = open_dataset(path / of.name)
            try:
                _restore(storage, partition, of, dataset)
            except IntegrityError:
                raise
            except (DataError, IndexError, KeyError) as error:
                raise IntegrityError(str(error), where=str(path / of.name), remedy=saved.REMEDY) from error
        partition.counters = Counters(**of.counters)
        partition.threshold = of.threshold
        partition.producers.watermarks = {name: (epoch, seq) for name, epoch, seq in of.watermarks}
    buffer.draws, buffer.updates_dropped = manifest.draws, manifest.updates_dropped
    storage.index.next_number = manifest.next_block
    storage.index.next_trajectory = manifest.next_trajectory
    if storage.priorities is not None:
        storage.priorities.highest = manifest.highest_priority
    return buffer


def _restore(
    storage: ReplayStorage, partition: Partition, of: saved.SavedPartition, dataset: Dataset
) -> None:
    """Puts the blocks of one partition back as they were."""
    # Where blocks go as they came, those of one file may stay in one piece of memory.
    in_order = partition.options.eviction != "reservoir"
    keep = storage.store.put if in_order else copy_into(storage.store)
    restorer = PartitionRestorer(storage, partition, keep)
    due = iter(of.blocks)
    for number, batch in by_block(dataset, storage.index.block_rows, mapped=not in_order):
        expected, used = next(due, (None, 0))
        if number != expected:
            raise DataError(f"holds block {number} where the manifest names {expected}")
        restorer.block(number, used, batch, is_open=of.open and number == of.blocks[-1][0])
    if (missing := next(due, None)) is not None:
        raise DataError(f"block {missing[0]}, which the manifest names, is missing")
    if restorer.gone:
        raise DataError("a part of a trajectory is missing", where=c.FIRST_STEP)
    restorer.order()


def by_block(
    dataset: Dataset, block_rows: int, *, mapped: bool = True
) -> Iterator[tuple[int, TrajectoryBatch]]:
    """The trajectories of each block in turn, in views of the mapped files or of files that were read."""
    parts: list[TrajectoryBatch] = []
    current = -1
    for batch in dataset.batches(mapped=mapped):
        row_ids: Any = batch.columns[saved.ROW_ID]
        numbers = row_ids[batch.offsets[:-1]] // block_rows
        starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for start, stop in itertools.pairwise(starts):
            if parts and numbers[start] != current:
                yield current, TrajectoryBatch.concat(parts)
                parts = []
            current = int(numbers[start])
            parts.append(batch.slice(start, stop))
    if parts:
        yield current, TrajectoryBatch.concat(parts)


def check_env(spaces: Spaces, env: Any, path: Path) -> None:
    """Makes sure that an environment has a saved buffer's spaces.

    Raises:
        SpaceError: it has others; all differences are named.
    """
    given = Spaces(
        getattr(env, "single_observation_space", env.observation_space),
        getattr(env, "single_action_space", env.action_space),
    )
    if differences := spaces.differences(given):
        raise SpaceError(
            f"the buffer has other spaces than the environment: {'; '.join(differences)}",
            where=str(path),
            remedy="give the environment that it was collected in, or none",
        )
