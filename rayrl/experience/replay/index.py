"""The index: where every live step is, by block and by trajectory, without its data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.replay import changes, kernels
from rayrl.experience.replay.groups import Groups
from rayrl.experience.replay.open_episodes import OpenEpisodes
from rayrl.experience.replay.priorities import Priorities
from rayrl.experience.replay.tables import BLOCK, NONE, PIECE, TRAJECTORY, Table

_NEXT_ONES = np.empty(0, np.int64)
_NO_LEAVES = np.empty((0, 0), np.float32)
_NO_WEIGHTS = np.empty(0, np.float64)


class Rows(NamedTuple):
    """Where some rows are, each ``(n,)``.

    Args:
        block: entries of their blocks.
        row: rows of these blocks' columns.
        offset: of their row ids within the blocks.
    """

    block: NDArray[np.int64]
    row: NDArray[np.int64]
    offset: NDArray[np.int64]


class Held(NamedTuple):
    """Steps and trajectories."""

    steps: int
    trajectories: int


class Parts(NamedTuple):
    """What the index has to know of the trajectories of a batch.

    Args:
        rows: records ``PART`` ``(n,)``.
        accumulate: whether ``returned`` is of the part alone, not of the episode up to its end.
    """

    rows: NDArray[Any]
    accumulate: bool


class Index:
    """Row ids, pieces and trajectories of all blocks.

    The id of a row is its block's number times ``block_rows`` plus its offset, in the order in which rows
    were added to the block. Ids are never given twice, and stay as they are when a block's rows are moved.

    Args:
        block_rows: most rows of a block, a power of two.
        groups: the groups, whose steps are counted here.
        priorities: weights to keep in step, if there are any.

    Attributes:
        change: counts every change of what is held.
    """

    def __init__(self, block_rows: int, groups: Groups, priorities: Priorities | None) -> None:
        self.block_rows = block_rows
        self.groups = groups
        self.priorities = priorities
        self.blocks = Table(BLOCK, "number")
        self.pieces = Table(PIECE, "block")
        self.trajectories = Table(TRAJECTORY, "id")
        self.place = np.empty((0, block_rows), np.uint16)
        self.piece_of = np.empty((0, block_rows), np.int32)
        self.change = 0
        self.next_number = 0
        self.next_trajectory = 0
        self._entry_of = np.full(64, NONE, np.int32)

    @property
    def nbytes(self) -> int:
        """Bytes of the index, without priorities."""
        tables = (self.blocks, self.pieces, self.trajectories)
        return sum(table.nbytes for table in tables) + self.place.nbytes + self.piece_of.nbytes

    @property
    def num_trajectories(self) -> int:
        """Live trajectories."""
        return int((self.trajectories.rows["id"] >= 0).sum())

    def begin_block(self, partition: int, number: int | None = None) -> int:
        """Takes an entry for a block of a partition, the next one or a saved one by its number."""
        if number is None:
            number = self.next_number
        self.next_number = max(self.next_number, number + 1)
        block = int(self.blocks.take(1)[0])
        self._make_room(block, number)
        record = self.blocks.rows[block]
        record["number"], record["partition"] = number, partition
        record["used"] = record["stored"] = record["live"] = 0
        self.place[block] = kernels.NOWHERE
        self.piece_of[block] = NONE
        self._entry_of[number] = block
        return block

    def end_block(self, block: int) -> None:
        """Gives the entry of a block back; no row of it is live."""
        self._entry_of[self.blocks.rows[block]["number"]] = NONE
        self.blocks.give_back(np.array([block], np.int32))

    def begin_trajectories(
        self, first_step: NDArray[np.int64], group: NDArray[np.int32], ids: NDArray[np.int64] | None = None
    ) -> NDArray[np.int32]:
        """Takes entries for new trajectories, ``(n,)``, with the next ids or those of saved ones."""
        entries = self.trajectories.take(len(first_step))
        if ids is None:
            ids = np.arange(self.next_trajectory, self.next_trajectory + len(entries))
        self.next_trajectory = max(self.next_trajectory, int(ids.max(initial=-1)) + 1)
        record = np.zeros(len(entries), TRAJECTORY)
        record["id"], record["first_step"], record["group"] = ids, first_step, group
        record["score"] = np.nan
        record["version"] = record["score_version"] = NONE
        record["first_piece"] = record["last_piece"] = NONE
        self.trajectories.rows[entries] = record
        return entries

    def own(self, parts: Parts, open_episodes: OpenEpisodes) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The trajectories with which parts go on, or that begin with them; and ``(n,)`` which are new."""
        n, table = len(parts.rows), self.trajectories
        table.make_room(n)
        open_episodes.make_room(n, len(table.rows))
        owners, begun = np.empty(n, np.int32), np.empty(n, np.bool_)
        taken, opened = changes.own(
            parts.rows,
            self.next_trajectory,
            open_episodes.slots,
            open_episodes.slot_of,
            table.rows,
            table.free,
            table.num_free,
            owners,
            begun,
        )
        table.num_free -= taken
        open_episodes.count += opened
        self.next_trajectory += taken
        return owners, begun

    def append(
        self,
        block: int,
        owners: NDArray[np.int32],
        parts: Parts,
        first_piece_row: int,
        offsets: NDArray[np.int64] = _NEXT_ONES,
    ) -> None:
        """Adds rows at the end of a block, laid trajectory after trajectory.

        Args:
            block: its entry.
            owners: ``(n,)`` the trajectories to which the parts belong; they go on there.
            parts: the n parts.
            first_piece_row: row of the block's trajectory columns at which those of the parts begin.
            offsets: of the rows' ids, in the order of the rows; the next ones when not given.
        """
        table = self.pieces
        table.make_room(len(owners))
        changes.link(
            block,
            owners,
            parts.rows,
            parts.accumulate,
            first_piece_row,
            offsets,
            self.blocks.rows,
            self.place,
            self.piece_of,
            table.rows,
            table.free,
            table.num_free,
            self.trajectories.rows,
            self.groups.steps,
        )
        table.num_free -= len(owners)
        self.change += 1

    def live_in(self, blocks: list[int]) -> Held:
        """What some blocks hold; a trajectory that lies in others too counts as well."""
        live = int(self.blocks.rows["live"][blocks].sum())
        pieces = self.pieces.rows
        owners = pieces["trajectory"][np.isin(pieces["block"], blocks)]
        return Held(live, len(np.unique(owners)))

    def live_rows(self, block: int) -> Rows:
        """The live rows of a block, in the order of their ids."""
        used = int(self.blocks.rows[block]["used"])
        offset = np.flatnonzero(self.place[block, :used] != kernels.NOWHERE)
        row = self.place[block, offset].astype(np.int64)
        live = self.piece_of[block, row] >= 0
        offset, row = offset[live], row[live]
        return Rows(np.full(len(row), block), row, offset)

    def pieces_of(self, block: int) -> NDArray[np.int32]:
        """The live pieces of a block, in the order of their rows."""
        piece = self.piece_of[block, : self.blocks.rows["stored"][block]]
        pieces = piece[np.flatnonzero(piece[1:] != piece[:-1]) + 1]
        pieces = np.concatenate([piece[:1], pieces])
        live: NDArray[np.int32] = pieces[pieces >= 0]
        return live

    def offsets_of(self, block: int) -> NDArray[np.int64]:
        """``(stored,)`` the offset of the id of each row of a block, as far as they are live."""
        record = self.blocks.rows[block]
        offsets = np.empty(int(record["stored"]), np.int64)
        kernels.offsets_of(block, int(record["used"]), self.place, offsets)
        return offsets

    def rows_at(self, block: NDArray[np.int64], offset: NDArray[np.int64]) -> NDArray[np.int64]:
        """``(n,)`` the rows of live row ids, by the offsets of the ids within their blocks."""
        row = np.empty(len(block), np.int64)
        kernels.rows_at(block, offset, self.place, self.piece_of, row)
        return row

    def owners(self, block: Any, row: Any) -> NDArray[np.int32]:
        """``(n,)`` the trajectories of live rows."""
        owners: NDArray[np.int32] = self.pieces.rows["trajectory"][self.piece_of[block, row]]
        return owners

    def group_of(self, block: Any, row: Any) -> NDArray[np.int32]:
        """``(n,)`` the groups of live rows."""
        if len(self.groups.members) == 1:
            return np.zeros(len(row), np.int32)
        groups: NDArray[np.int32] = self.trajectories.rows["group"][self.owners(block, row)]
        return groups

    def row_ids(self, block: Any, offset: Any) -> NDArray[np.int64]:
        """``(n,)`` ids of rows, by the offsets of their ids within their blocks."""
        ids: NDArray[np.int64] = self.blocks.rows["number"][block] * self.block_rows + offset
        return ids

    def offsets(self, block: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
        """``(n,)`` offsets of the ids of live rows."""
        offsets = np.empty(len(row), np.int64)
        for entry in np.unique(block):
            members = block == entry
            offsets[members] = self.offsets_of(int(entry))[row[members]]
        return offsets

    def find(self, row_ids: NDArray[np.int64]) -> tuple[Rows, NDArray[np.bool_]]:
        """The rows of those ids that are live, and ``(n,)`` which these are."""
        out, live = np.empty((3, len(row_ids)), np.int64), np.empty(len(row_ids), np.bool_)
        filled = kernels.find(row_ids, self.next_number, self._entry_of, self.place, self.piece_of, out, live)
        return Rows(*out[:, :filled]), live

    def evict_oldest(self, block: int, first: int, most: int) -> tuple[int, int, NDArray[np.int32]]:
        """Evicts up to ``most`` rows of a block, the oldest of its partition, from offset ``first`` on.

        Returns:
            The offset at which it stopped, how many rows went, and the trajectories that are gone.
        """
        dead = np.empty((2, min(most, self.block_rows)), np.int32)
        stopped, evicted, num_pieces, num_trajectories = changes.evict_rows(
            block,
            first,
            most,
            self.blocks.rows,
            self.place,
            self.piece_of,
            self.pieces.rows,
            self.trajectories.rows,
            self.groups.steps,
            self.priorities.trees.leaves if self.priorities is not None else _NO_LEAVES,
            self.priorities.group_weights if self.priorities is not None else _NO_WEIGHTS,
            dead,
        )
        if self.priorities is not None:
            self.priorities.trees.refresh_range(block, first, stopped)
        gone = dead[1, :num_trajectories]
        self.pieces.give_back(dead[0, :num_pieces])
        self.trajectories.give_back(gone)
        self.change += 1
        return stopped, evicted, gone

    def evict_trajectory(self, owner: int, most: int | None = None) -> NDArray[np.int64]:
        """Evicts the first ``most`` steps of a trajectory, or all; gives the blocks that lost rows."""
        record = self.trajectories.rows[owner]
        most = int(record["length"]) if most is None else most
        pieces, left, piece = [], most, int(record["first_piece"])
        while left > 0:
            start, stop = (int(self.pieces.rows[piece][name]) for name in ("start", "stop"))
            pieces.append(piece)
            if self.priorities is not None:
                block = int(self.pieces.rows[piece]["block"])
                live = self.live_rows(block)
                hit = (live.row >= start) & (live.row < min(stop, start + left))
                self.priorities.clear(block, live.offset[hit], int(record["group"]))
            left -= stop - start
            piece = int(self.pieces.rows[piece]["next"])
        entries = np.array(pieces, np.int32)
        blocks = np.unique(self.pieces.rows["block"][entries]).astype(np.int64)
        dead = changes.evict_front(
            owner,
            most,
            self.blocks.rows,
            self.piece_of,
            self.pieces.rows,
            self.trajectories.rows,
            self.groups.steps,
        )
        if self.trajectories.rows[owner]["length"] == 0:
            self.trajectories.give_back(np.array([owner], np.int32))
        self.pieces.give_back(entries[:dead])
        self.change += 1
        return blocks

    def _make_room(self, block: int, number: int) -> None:
        if block >= len(self.place):
            size = max(2 * len(self.place), block + 1, 4)
            for name in ("place", "piece_of"):
                array = getattr(self, name)
                grown = np.empty((size, self.block_rows), array.dtype)
                grown[: len(array)] = array
                setattr(self, name, grown)
            if self.priorities is not None:
                self.priorities.trees.grow(size)
        while number >= len(self._entry_of):
            more = np.full_like(self._entry_of, NONE)
            self._entry_of = np.concatenate([self._entry_of, more])
