"""Reading the items that were drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs, ColumnSpec
from rayrl.experience.ragged import Column, Ragged, offsets_of
from rayrl.experience.replay import kernels
from rayrl.experience.replay.columns import Read
from rayrl.experience.replay.requests import Fragments, Picked, Request, Transitions
from rayrl.experience.replay.samples import (
    DISCOUNTS,
    N_STEPS,
    NEXT_OBS,
    FragmentSample,
    TrajectorySample,
    TransitionSample,
)
from rayrl.experience.replay.storage import ReplayStorage

_TERMINATED, _TRUNCATED = 2, 3


def common_specs(storage: ReplayStorage, request: Request) -> BatchSpecs:
    """The columns that all partitions have which a request draws from.

    Raises:
        DataError: a column is asked for that they do not all have.
    """
    names = request.where.partition
    held = [
        partition.specs
        for partition in storage.partitions
        if partition.specs is not None and partition.blocks and (names is None or partition.name in names)
    ]
    common = held[0]
    if len(held) > 1:
        common = BatchSpecs(
            *(
                {name: spec for name, spec in first.items() if all(name in other for other in others)}
                for first, *others in zip(*held, strict=True)
            )
        )
    if request.columns is None:
        return common
    if missing := set(request.columns) - common.columns.keys():
        raise DataError(f"no step column {min(missing)!r} among {', '.join(common.columns)}", where="columns")
    wanted = {*request.columns, c.ACTIONS, c.REWARDS}
    steps = {
        n: s for n, s in common.columns.items() if n in wanted or n == c.OBS or n.startswith(f"{c.OBS}/")
    }
    return BatchSpecs(steps, common.trajectory_columns)


def check_picked(storage: ReplayStorage, picked: Picked, request: Request, n: int) -> None:
    """Makes sure that what a sampler drew can be read: reading itself does not look.

    Raises:
        DataError: there are not as many items as asked for, or one of them is not held.
    """
    index = storage.index
    block, row = (np.asarray(where, np.int64) for where in (picked.block, picked.row))
    held = (block >= 0) & (block < len(index.blocks.rows))
    stored = np.where(held, index.blocks.rows["stored"][np.where(held, block, 0)], 0)
    held &= (index.blocks.rows["number"][np.where(held, block, 0)] >= 0) & (row >= 0) & (row < stored)
    held[held] = index.piece_of[block[held], row[held]] >= 0
    if isinstance(request.target, Fragments):
        long_enough = np.empty(int(held.sum()), np.bool_)
        pieces = index.pieces.rows
        kernels.goes_on(block[held], row[held], request.target.length, index.piece_of, pieces, long_enough)
        held[held] = long_enough
    missing = len(held) - int(held.sum())
    if missing or len(held) != n:
        raise DataError(
            f"drew {missing} items that are not held, of {len(held)} where {n} {request.target} are wanted",
            where=f"sampler {request.sampler.name!r}",
            remedy="draw with the view's methods, which give items that are held",
        )


def read_transitions(
    storage: ReplayStorage, picked: Picked, target: Transitions, specs: BatchSpecs, device: str
) -> TransitionSample:
    """The steps that were drawn, with their n-step returns."""
    index, n = storage.index, len(picked)
    returns, discounts = np.empty(n, np.float32), np.empty(n, np.float32)
    n_steps, ends = np.empty(n, np.int64), np.empty(n, np.uint8)
    next_block, next_row = np.empty(n, np.int64), np.empty(n, np.int64)
    kernels.n_step(
        picked.block,
        picked.row,
        target.n_step,
        target.gamma,
        storage.columns.addresses(c.REWARDS),
        index.piece_of,
        index.pieces.rows,
        index.trajectories.rows,
        returns,
        n_steps,
        discounts,
        ends,
        next_block,
        next_row,
    )
    over = ends > 0
    reads: dict[str, Read] = {}
    for name, spec in specs.columns.items():
        if name != c.REWARDS:
            reads[name] = Read(name, spec, picked.block, picked.row)
        if name == c.OBS or name.startswith(f"{c.OBS}/"):
            # Observations of rows, or where trajectories are over the final ones of these.
            final = name.replace(c.OBS, c.FINAL_OBS, 1)
            after = name.replace(c.OBS, NEXT_OBS, 1)
            reads[after] = Read(name, spec, next_block, next_row, final, over)
    columns: dict[str, Any] = dict(zip(reads, storage.columns.read_all(list(reads.values())), strict=True))
    columns[c.REWARDS] = returns
    columns[DISCOUNTS], columns[N_STEPS] = discounts, n_steps
    columns[c.TERMINATED], columns[c.TRUNCATED] = ends == _TERMINATED, ends == _TRUNCATED
    offset = index.offsets(picked.block, picked.row) if picked.offset is None else picked.offset
    return TransitionSample(
        columns, index.row_ids(picked.block, offset), np.zeros(n, np.int64), picked.weights, device
    )


def read_fragments(
    storage: ReplayStorage, picked: Picked, target: Fragments, specs: BatchSpecs, device: str
) -> FragmentSample:
    """The windows that were drawn."""
    n, length, index = len(picked), target.length, storage.index
    block, row = follow(storage, picked, np.full(n, length))
    reads = [Read(name, spec, block, row) for name, spec in specs.columns.items()]
    columns: dict[str, Column] = {}
    for (name, spec), column in zip(specs.columns.items(), storage.columns.read_all(reads), strict=True):
        columns[name] = column if isinstance(column, Ragged) else column.reshape(n, length, *spec.shape)
    last_block, last_row = (where.reshape(n, length)[:, -1] for where in (block, row))
    piece = index.pieces.rows[index.piece_of[last_block, last_row]]
    trajectory = index.trajectories.rows[piece["trajectory"]]
    at_end = (piece["next"] < 0) & (piece["stop"] == last_row + 1)
    for name in (c.TERMINATED, c.TRUNCATED):
        flags = np.zeros((n, length), np.bool_)
        flags[:, -1] = at_end & trajectory[name]
        columns[name] = flags
    return FragmentSample(columns, length, device)


def read_trajectories(
    storage: ReplayStorage, picked: Picked, specs: BatchSpecs, device: str
) -> TrajectorySample:
    """The whole trajectories of which first steps were drawn."""
    owners = storage.index.owners(picked.block, picked.row)
    return TrajectorySample(trajectory_batch(storage, owners, specs), device)


def trajectory_batch(
    storage: ReplayStorage, owners: NDArray[np.integer[Any]], specs: BatchSpecs
) -> TrajectoryBatch:
    """Trajectories by their entries; their columns are those of their last parts, but for how they began."""
    index = storage.index
    records, pieces = index.trajectories.rows[owners], index.pieces.rows
    lengths = records["length"]
    where = np.empty((2, len(owners)), np.int64)
    kernels.locate(owners, np.zeros(len(owners), np.int64), pieces, index.trajectories.rows, where)
    block, row = follow(storage, Picked(where[0], where[1]), lengths)
    first, last = pieces[records["first_piece"]], pieces[records["last_piece"]]

    def of_piece(name: str, spec: ColumnSpec, of: Any) -> Read:
        return Read(name, spec, of["block"].astype(np.int64), of["row"].astype(np.int64))

    reads = [Read(name, spec, block, row) for name, spec in specs.columns.items()]
    reads += [of_piece(name, spec, last) for name, spec in specs.trajectory_columns.items()]
    oldest = specs.trajectory_columns.get(c.POLICY_VERSION_MIN)
    if oldest is not None:
        reads.append(of_piece(c.POLICY_VERSION_MIN, oldest, first))
    found: list[Any] = storage.columns.read_all(reads)
    steps = dict(zip(specs.columns, found, strict=False))
    trajectories: dict[str, Any] = dict(
        zip(specs.trajectory_columns, found[len(specs.columns) :], strict=False)
    )
    trajectories[c.FIRST_STEP] = records["first_step"]
    if oldest is not None:
        trajectories[c.POLICY_VERSION_MIN] = np.minimum(found[-1], trajectories[c.POLICY_VERSION_MIN])
    return TrajectoryBatch(steps, offsets_of(lengths), trajectories)


def follow(
    storage: ReplayStorage, picked: Picked, lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Blocks and rows of the steps from each picked one on, as many as ``lengths`` says."""
    rows = np.empty((2, int(lengths.sum())), np.int64)
    index = storage.index
    kernels.follow(picked.block, picked.row, lengths, index.piece_of, index.pieces.rows, rows)
    return rows[0], rows[1]
