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
from rayrl.experience.ragged import Column, Ragged
from rayrl.experience.replay import saved
from rayrl.experience.replay.open_block import OpenBlock
from rayrl.experience.replay.partition import Counters, Partition
from rayrl.experience.replay.parts import groups_of, index_parts
from rayrl.experience.replay.storage import ReplayStorage, reservoir_keys
from rayrl.experience.replay.store import BlockStore, Marks
from rayrl.storage.spaces import Spaces

if TYPE_CHECKING:
    from rayrl.experience.replay.buffer import ReplayBuffer

B = TypeVar("B", bound="ReplayBuffer")


def load_buffer(kind: type[B], path: Path, env: Any, device: str, store: BlockStore | None) -> B:
    """Reads a saved buffer, in constant memory beside its own; see ``ReplayBuffer.load``."""
    manifest = saved.read_buffer_manifest(path)
    spaces = Spaces.from_json(manifest.spaces)
    if env is not None:
        _check_env(spaces, env, path)
    buffer = kind(spaces, manifest.env, manifest.options, store=store, device=device)
    storage = buffer.storage
    for of, partition in zip(manifest.partitions, storage.partitions, strict=True):
        if of.blocks:
            dataset = open_dataset(path / of.name)
            try:
                _Restorer(storage, partition, of).restore(dataset)
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


class _Restorer:
    """Puts the blocks of one partition back as they were."""

    def __init__(self, storage: ReplayStorage, partition: Partition, of: saved.SavedPartition) -> None:
        self._storage = storage
        self._partition = partition
        self._blocks = of.blocks
        self._open = of.open
        self._entry_of: dict[int, int] = {}

    def restore(self, dataset: Dataset) -> None:
        due = iter(self._blocks)
        for number, batch in self._by_block(dataset):
            expected, used = next(due, (None, 0))
            if number != expected:
                raise DataError(f"holds block {number} where the manifest names {expected}")
            self._restore_block(number, used, batch)
        if (missing := next(due, None)) is not None:
            raise DataError(f"block {missing[0]}, which the manifest names, is missing")
        self._restore_order()

    def _by_block(self, dataset: Dataset) -> Iterator[tuple[int, TrajectoryBatch]]:
        """The trajectories of each block in turn."""
        parts: list[TrajectoryBatch] = []
        current = -1
        for batch in dataset.batches():
            row_ids: Any = batch.columns[saved.ROW_ID]
            numbers = row_ids[batch.offsets[:-1]] // self._storage.index.block_rows
            starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            for start, stop in itertools.pairwise(starts):
                if parts and numbers[start] != current:
                    yield current, TrajectoryBatch.concat(parts)
                    parts = []
                current = int(numbers[start])
                parts.append(batch.slice(start, stop))
        if parts:
            yield current, TrajectoryBatch.concat(parts)

    def _restore_block(self, number: int, used: int, batch: TrajectoryBatch) -> None:
        storage, partition = self._storage, self._partition
        index = storage.index
        steps: Any = batch.columns
        trajectories: Any = batch.trajectory_columns
        offsets = steps[saved.ROW_ID] - number * index.block_rows
        in_range = offsets.min() >= 0 and offsets.max() < used <= index.block_rows
        if not in_range or np.bincount(offsets).max() > 1:
            raise DataError("row ids are given twice or out of their block's range", where=saved.ROW_ID)
        own = [
            name
            for name in (*saved.STEP_COLUMNS, *saved.TRAJECTORY_COLUMNS)
            if name in steps or name in trajectories
        ]
        data = _copied(batch.drop(own))
        storage.check(data, partition)
        partition.specs = partition.specs or data.specs
        block = index.begin_block(partition.code, number)
        partition.blocks.append(block)
        owners = self._owners(data, trajectories[saved.TRAJECTORY_ID])
        if self._open and number == self._blocks[-1][0]:
            opened = OpenBlock(data.specs, index.block_rows - (used - data.num_steps))
            opened.append(data)
            partition.open_block = opened
            storage.columns.set(block, opened.columns)
        else:
            marks = Marks(
                steps[saved.ROW_ID], trajectories[saved.TRAJECTORY_ID], trajectories[saved.TRAJECTORY_RETURN]
            )
            storage.columns.seal(block, storage.store.put(number, data, marks))
        index.append(block, owners, index_parts(data), 0, offsets)
        index.blocks.rows["used"][block] = used
        records = index.trajectories.rows
        records["returned"][owners] = trajectories[saved.TRAJECTORY_RETURN]
        records["score"][owners] = trajectories[saved.SCORE]
        records["score_version"][owners] = trajectories[saved.SCORE_VERSION]
        if storage.priorities is not None:
            groups = np.repeat(records["group"][owners], data.lengths)
            storage.priorities.restore(block, offsets, steps[saved.PRIORITY_WEIGHT], groups)

    def _owners(self, data: TrajectoryBatch, ids: Any) -> Any:
        """Entries of the trajectories with these ids; those not met before begin here."""
        index, columns = self._storage.index, data.trajectory_columns
        first: Any = columns[c.FIRST_STEP]
        known = np.array([int(one) in self._entry_of for one in ids])
        new = np.flatnonzero(~known)
        if len(np.unique(ids)) < len(ids):
            raise DataError("a trajectory stands twice in one block", where=saved.TRAJECTORY_ID)
        groups = groups_of(data, self._storage.groups, self._partition.name)[new]
        entries = index.begin_trajectories(first[new], groups, ids[new])
        self._entry_of.update(zip(ids[new].tolist(), entries.tolist(), strict=True))
        owners = np.array([self._entry_of[int(one)] for one in ids], np.int32)
        records = index.trajectories.rows[owners[known]]
        if (records["first_step"] + records["length"] != first[known]).any():
            raise DataError("a part of a trajectory is missing", where=c.FIRST_STEP)
        return owners

    def _restore_order(self) -> None:
        """Notes the trajectories in the order in which they began, and those that may go on."""
        storage, partition = self._storage, self._partition
        entries = np.array([self._entry_of[one] for one in sorted(self._entry_of)], np.int32)
        records, pieces = storage.index.trajectories.rows[entries], storage.index.pieces.rows
        last = pieces[records["last_piece"]]
        spec = c.TRAJECTORY_COLUMNS[c.EPISODE_ID]
        where = (last[name].astype(np.int64) for name in ("block", "row"))
        episodes: Any = storage.columns.read(c.EPISODE_ID, spec, *where)
        partition.begun(entries, reservoir_keys(episodes, storage.options))
        for i in np.flatnonzero(~(records["terminated"] | records["truncated"])):
            due = int(records["first_step"][i] + records["length"][i])
            partition.open(episodes[i].tobytes(), int(entries[i]), due)
        block = partition.blocks[0]
        if partition.by_steps:
            partition.tail = int(storage.index.live_rows(block).offset[0])


def _check_env(spaces: Spaces, env: Any, path: Path) -> None:
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


def _copied(batch: TrajectoryBatch) -> TrajectoryBatch:
    """The batch in memory of its own, apart from the file that it was read from."""

    def copied(column: Column) -> Column:
        if isinstance(column, Ragged):
            return Ragged(column.values.copy(), column.offsets.copy(), column.is_text)
        return column.copy()

    return TrajectoryBatch(
        {name: copied(column) for name, column in batch.columns.items()},
        batch.offsets.copy(),
        {name: copied(column) for name, column in batch.trajectory_columns.items()},
    )
