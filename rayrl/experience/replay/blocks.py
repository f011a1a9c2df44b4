"""Sealing blocks, and shrinking those of which most rows are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs
from rayrl.experience.ragged import Column, Ragged, offsets_of
from rayrl.experience.replay.columns import BlockColumns
from rayrl.experience.replay.index import Index
from rayrl.experience.replay.kernels import NOWHERE
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
    """

    batch: TrajectoryBatch
    offsets: NDArray[np.int64]
    owners: NDArray[np.int32]
    first_pieces: NDArray[np.int32]
    last_pieces: NDArray[np.int32]


def contents(block: int, index: Index, columns: BlockColumns, specs: BatchSpecs) -> Contents:
    """The live rows of a block; where they are in order already, the columns are views."""
    live = index.live_rows(block)
    piece = index.piece_of[block, live.row]
    owner = index.pieces.rows["trajectory"][piece]
    order = np.argsort(index.trajectories.rows["id"][owner], kind="stable")
    row, piece, owner = live.row[order], piece[order], owner[order]
    starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1])) if len(owner) else np.empty(0, np.int64)
    stops = np.append(starts[1:], len(row)).astype(np.int64)[: len(starts)]
    first, last = piece[starts], piece[stops - 1]
    held = columns.of(block, [*specs.columns, *specs.trajectory_columns])
    in_order = len(row) == index.blocks.rows["stored"][block] and (np.diff(row) == 1).all()
    batch = TrajectoryBatch(
        {
            name: _first(held[name], len(row)) if in_order else _take(held[name], row)
            for name in specs.columns
        },
        offsets_of(stops - starts),
        _trajectory_columns({name: held[name] for name in specs.trajectory_columns}, first, last, index),
    )
    return Contents(batch, live.offset[order], owner[starts], first, last)


def rearrange(block: int, found: Contents, index: Index) -> None:
    """Points the index to the rows of a block as they stand in its contents."""
    pieces, rows = index.pieces.rows, found.batch.num_steps
    old = np.unique(index.piece_of[block])
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
    index.pieces.give_back(np.setdiff1d(old[old >= 0], found.first_pieces).astype(np.int32))
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


def _take(column: Column, rows: NDArray[Any]) -> Column:
    return column.take(rows) if isinstance(column, Ragged) else column[rows]
