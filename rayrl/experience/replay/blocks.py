"""Sealing blocks, and shrinking those of which most rows are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs
from rayrl.experience.ragged import Column, Ragged
from rayrl.experience.replay.columns import BlockColumns
from rayrl.experience.replay.index import Index
from rayrl.experience.replay.kernels import NOWHERE
from rayrl.experience.replay.slabs import Empty
from rayrl.experience.replay.tables import NONE


@dataclass(frozen=True, slots=True)
class Contents:
    """The live rows of a block, trajectory after trajectory.

    Args:
        batch: the rows; a trajectory here is all that the block has of one.
        offsets: ``(rows,)`` of their row ids within the block.
        owners: ``(trajectories,)`` entries of the trajectories.
        first_pieces: ``(trajectories,)`` the pieces with which each began in the block.
        last_pieces: ``(trajectories,)`` those with which it ended.
        is_view: whether the columns are views of those of the block.
    """

    batch: TrajectoryBatch
    offsets: NDArray[np.int64]
    owners: NDArray[np.int32]
    first_pieces: NDArray[np.int32]
    last_pieces: NDArray[np.int32]
    is_view: bool


def contents(
    block: int, index: Index, columns: BlockColumns, specs: BatchSpecs, make: Empty = np.empty
) -> Contents:
    """The live rows of a block; where they are in order already, the columns are views.

    Args:
        block: its entry.
        index: the index.
        columns: of all blocks.
        specs: of the block's partition.
        make: makes arrays where the rows are to be put in order.
    """
    pieces = index.pieces_of(block)
    records = index.pieces.rows[pieces]
    order = np.argsort(index.trajectories.rows["id"][records["trajectory"]], kind="stable")
    pieces, records = pieces[order], records[order]
    start = records["start"].astype(np.int64)
    count = records["stop"] - start
    owner = records["trajectory"]
    first = np.flatnonzero(np.append(True, owner[1:] != owner[:-1])) if len(owner) else np.empty(0, np.int64)
    last = np.append(first[1:], len(owner))[: len(first)] - 1
    ends = np.cumsum(count)
    rows = int(count.sum())
    in_order = rows == index.blocks.rows["stored"][block] and (start == ends - count).all()
    row = None if in_order else np.arange(rows) + np.repeat(start - (ends - count), count)
    held = columns.of(block, [*specs.columns, *specs.trajectory_columns])
    batch = TrajectoryBatch(
        {
            name: _first(held[name], rows) if row is None else _gathered(held[name], row, make)
            for name in specs.columns
        },
        np.append(0, ends[last]).astype(np.int64),
        _trajectory_columns(
            {name: held[name] for name in specs.trajectory_columns}, pieces[first], pieces[last], index
        ),
    )
    offsets = index.offsets_of(block)
    return Contents(
        batch,
        offsets[:rows] if row is None else offsets[row],
        owner[first],
        pieces[first],
        pieces[last],
        row is None,
    )


def rearrange(block: int, found: Contents, index: Index) -> None:
    """Points the index to the rows of a block as they stand in its contents."""
    pieces, rows = index.pieces.rows, found.batch.num_steps
    old = index.pieces_of(block)
    index.place[block] = NOWHERE
    index.place[block, found.offsets] = np.arange(rows)
    record = pieces[found.first_pieces]
    record["start"], record["stop"] = found.batch.offsets[:-1], found.batch.offsets[1:]
    record["next"] = pieces["next"][found.last_pieces]
    record["row"], record["evicted"] = np.arange(len(record)), 0
    pieces[found.first_pieces] = record
    trajectories = index.trajectories.rows
    ends = trajectories["last_piece"][found.owners] == found.last_pieces
    trajectories["last_piece"][found.owners[ends]] = found.first_pieces[ends]
    index.piece_of[block] = NONE
    index.piece_of[block, :rows] = np.repeat(found.first_pieces, found.batch.lengths)
    index.pieces.give_back(np.setdiff1d(old, found.first_pieces, assume_unique=True).astype(np.int32))
    index.blocks.rows["stored"][block] = rows
    index.change += 1


def _trajectory_columns(held: dict[str, Column], first: Any, last: Any, index: Index) -> dict[str, Column]:
    """Those of the last piece, but for what is known of a trajectory's beginning."""
    pieces = index.pieces.rows
    first_row, last_row = pieces["row"][first], pieces["row"][last]
    columns: dict[str, Any] = {name: _take(column, last_row) for name, column in held.items()}
    begun: Any = held[c.FIRST_STEP]
    columns[c.FIRST_STEP] = begun[first_row] + pieces["evicted"][first]
    if c.POLICY_VERSION_MIN in columns:
        oldest: Any = held[c.POLICY_VERSION_MIN]
        columns[c.POLICY_VERSION_MIN] = np.minimum(oldest[first_row], columns[c.POLICY_VERSION_MIN])
    return columns


def _first(column: Column, rows: int) -> Column:
    return column.slice(0, rows) if isinstance(column, Ragged) else column[:rows]


def _gathered(column: Column, rows: NDArray[Any], make: Empty) -> Column:
    if isinstance(column, Ragged):
        return column.take(rows)
    return np.take(column, rows, 0, make((len(rows), *column.shape[1:]), column.dtype), "clip")


def _take(column: Column, rows: NDArray[Any]) -> Column:
    return column.take(rows) if isinstance(column, Ragged) else column[rows]
