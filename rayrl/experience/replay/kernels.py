"""Compiled loops over the index: finding rows, following trajectories, evicting.

Arguments that all of them share:

- ``blocks``, ``pieces``, ``trajectories``: the records of ``tables``.
- ``place`` uint16 ``(blocks, block_rows)``: for each offset of a row id within its block, the row in the
  block's columns, or NOWHERE. ``piece_of`` int32 ``(blocks, block_rows)``: for each row, its piece, or NONE
  if it is evicted. A row is live if its piece is not NONE.
- ``group_steps``: live steps of each group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rayrl.experience.replay.memory import AHEAD, float32_at, prefetch
from rayrl.experience.replay.open_episodes import find as find_open
from rayrl.experience.replay.open_episodes import put as put_open
from rayrl.experience.replay.open_episodes import remove as remove_open
from rayrl.experience.replay.tables import NONE

NOWHERE = 0xFFFF


@njit(cache=True, nogil=True)
def accept(
    candidates: Any,
    starts: Any,
    entries: Any,
    place: Any,
    piece_of: Any,
    pieces: Any,
    trajectories: Any,
    wanted: Any,
    filtered: bool,
    out: Any,
    filled: int,
) -> int:
    """Keeps those candidates that are live and wanted, until ``out`` is full; gives how many it then holds.

    Args:
        candidates: int64, numbers below ``starts[-1]``.
        starts: ``(blocks + 1,)`` the first number of each block that is drawn from.
        entries: ``(blocks,)`` these blocks.
        wanted: bool, by group; looked at where ``filtered``.
        out: int64 ``(3, n)``: block, row and offset of what is kept.
        filled: how many ``out`` holds already.
    """
    n, width, last = len(candidates), place.shape[1], len(entries) - 1
    blocks, offsets = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        # Nearly all blocks are full, so that this is the right one, or one of the next.
        at = min(candidates[i] // width, last)
        while at < last and starts[at + 1] <= candidates[i]:
            at += 1
        blocks[i] = entries[at]
        offsets[i] = candidates[i] - starts[at]
        prefetch(place.ctypes.data + (blocks[i] * width + offsets[i]) * place.itemsize)
    for i in range(n):
        prefetch(
            piece_of.ctypes.data + (blocks[i] * width + place[blocks[i], offsets[i]]) * piece_of.itemsize
        )
    for i in range(n):
        if filled == out.shape[1]:
            break
        row = place[blocks[i], offsets[i]]
        if row == NOWHERE:
            continue
        piece = piece_of[blocks[i], row]
        if piece < 0 or (filtered and not wanted[trajectories[pieces[piece].trajectory].group]):
            continue
        out[0, filled] = blocks[i]
        out[1, filled] = row
        out[2, filled] = offsets[i]
        filled += 1
    return filled


@njit(cache=True, nogil=True)
def rows_at(block: Any, offset: Any, place: Any, piece_of: Any, out: Any) -> None:
    """The rows of live row ids, into int64 ``(n,)``; what is known of them is fetched on the way."""
    width, n = place.shape[1], len(block)
    for i in range(n):
        later, sooner = i + 2 * AHEAD, i + AHEAD
        if later < n:
            prefetch(place.ctypes.data + (block[later] * width + offset[later]) * place.itemsize)
        if sooner < n:
            row = place[block[sooner], offset[sooner]]
            prefetch(piece_of.ctypes.data + (block[sooner] * width + row) * piece_of.itemsize)
        out[i] = place[block[i], offset[i]]


@njit(cache=True, nogil=True)
def find(
    row_ids: Any, next_number: int, entry_of: Any, place: Any, piece_of: Any, out: Any, live: Any
) -> int:
    """Finds those of some row ids that are live; gives how many they are.

    Args:
        row_ids: int64 ``(n,)``, of which none need exist.
        next_number: blocks ever begun.
        entry_of: ``(numbers,)`` entry of each block by its number, or NONE.
        out: int64 ``(3, n)``: block, row and offset of what is live.
        live: bool ``(n,)``: which these are.
    """
    n, width = len(row_ids), place.shape[1]
    blocks = np.empty(n, np.int64)
    for i in range(n):
        number = row_ids[i] // width
        blocks[i] = entry_of[number] if 0 <= number < next_number else NONE
        if blocks[i] >= 0:
            prefetch(place.ctypes.data + (blocks[i] * width + row_ids[i] % width) * place.itemsize)
    filled = 0
    for i in range(n):
        ahead = i + AHEAD
        if ahead < n and blocks[ahead] >= 0:
            row = place[blocks[ahead], row_ids[ahead] % width]
            prefetch(piece_of.ctypes.data + (blocks[ahead] * width + row) * piece_of.itemsize)
        live[i] = False
        if blocks[i] < 0:
            continue
        offset = row_ids[i] % width
        row = place[blocks[i], offset]
        if row == NOWHERE or piece_of[blocks[i], row] < 0:
            continue
        live[i] = True
        out[0, filled] = blocks[i]
        out[1, filled] = row
        out[2, filled] = offset
        filled += 1
    return filled


@njit(cache=True, nogil=True)
def n_step(
    block: Any,
    row: Any,
    steps: int,
    gamma: float,
    rewards: Any,
    piece_of: Any,
    pieces: Any,
    trajectories: Any,
    out_return: Any,
    out_steps: Any,
    out_discount: Any,
    out_ends: Any,
    next_block: Any,
    next_row: Any,
) -> None:
    """Returns of up to ``steps`` steps, and where the observation after them is.

    Args:
        block: ``(n,)`` with ``row``, the first step of each.
        steps: n of the n-step return.
        rewards: ``(blocks,)`` addresses of the float32 rewards.
        out_ends: uint8 ``(n,)``: 0 where the observation after them is that of a row; else the trajectory's
            end is
            reached: 1 where it goes on elsewhere, 2 where it terminated, 3 where it was truncated.
        next_block: ``(n,)`` with ``next_row``, a row, or at the end of the trajectory one of the block's
            trajectory columns.
    """
    for i in range(len(block)):
        if i + AHEAD < len(block):
            prefetch(rewards[block[i + AHEAD]] + 4 * row[i + AHEAD])
            prefetch(pieces.ctypes.data + piece_of[block[i + AHEAD], row[i + AHEAD]] * pieces.itemsize)
        b, r = block[i], row[i]
        piece = piece_of[b, r]
        stop = pieces[piece].stop
        total, discount, taken, ends = 0.0, 1.0, 0, 0
        while True:
            # R = Σ_k γ^k r_{t+k}
            total += discount * float32_at(rewards[b] + 4 * r)
            discount *= gamma
            taken += 1
            r += 1
            if r == stop:
                after = pieces[piece].next
                if after < 0:
                    r = pieces[piece].row
                    ends = 1
                    if trajectories[pieces[piece].trajectory].terminated:
                        ends = 2
                    elif trajectories[pieces[piece].trajectory].truncated:
                        ends = 3
                    break
                piece = after
                b = pieces[piece].block
                r = pieces[piece].start
                stop = pieces[piece].stop
            if taken == steps:
                break
        out_return[i] = total
        out_steps[i] = taken
        out_discount[i] = discount
        out_ends[i] = ends
        next_block[i] = b
        next_row[i] = r


@njit(cache=True, nogil=True)
def locate(trajectory: Any, position: Any, pieces: Any, trajectories: Any, out: Any) -> None:
    """Where the live step at a position of a trajectory is.

    Args:
        trajectory: ``(n,)`` entries.
        position: ``(n,)`` from 0 to the trajectory's length - 1.
        out: int64 ``(2, n)``: block and row.
    """
    for i in range(len(trajectory)):
        left = position[i]
        piece = trajectories[trajectory[i]].first_piece
        while left >= pieces[piece].stop - pieces[piece].start:
            left -= pieces[piece].stop - pieces[piece].start
            piece = pieces[piece].next
        out[0, i] = pieces[piece].block
        out[1, i] = pieces[piece].start + left


@njit(cache=True, nogil=True)
def follow(block: Any, row: Any, lengths: Any, piece_of: Any, pieces: Any, out: Any) -> None:
    """The rows of consecutive steps.

    Args:
        block: ``(n,)`` with ``row``, the first of each run; the trajectory must be long enough.
        lengths: ``(n,)`` steps of each run.
        out: int64 ``(2, lengths.sum())``: block and row.
    """
    filled = 0
    for i in range(len(block)):
        b, r = block[i], row[i]
        piece = piece_of[b, r]
        for _ in range(lengths[i]):
            if r == pieces[piece].stop:
                piece = pieces[piece].next
                b = pieces[piece].block
                r = pieces[piece].start
            out[0, filled] = b
            out[1, filled] = r
            filled += 1
            r += 1


@njit(cache=True, nogil=True)
def goes_on(block: Any, row: Any, length: int, piece_of: Any, pieces: Any, out: Any) -> None:
    """Whether at least ``length`` steps follow from each row, itself counted; into bool ``(n,)``."""
    for i in range(len(block)):
        piece = piece_of[block[i], row[i]]
        found = pieces[piece].stop - row[i]
        while found < length and pieces[piece].next >= 0:
            piece = pieces[piece].next
            found += pieces[piece].stop - pieces[piece].start
        out[i] = found >= length


@njit(cache=True, nogil=True)
def own(
    parts: Any, next_id: int, slots: Any, slot_of: Any, trajectories: Any, free: Any, num_free: int, owner: Any, begun: Any
) -> Any:
    """Finds the trajectories that parts go on with, and begins those that they do not.

    Args:
        parts: records ``PART`` ``(n,)``, in order.
        next_id: of the first trajectory that is begun.
        slots: of the open episodes, with ``slot_of``; see ``OpenEpisodes``.
        free: entries for trajectories, of which the last of ``num_free`` is taken first.
        owner: int32 ``(n,)`` for the entries of the parts' trajectories.
        begun: bool ``(n,)`` for whether each is a new one.

    Returns:
        How many trajectories are new, and by how many more episodes are open.
    """
    taken, opened = 0, 0
    for i in range(len(parts)):
        over = parts[i].terminated or parts[i].truncated
        # Others are whole episodes, which neither go on nor are gone on with.
        linked = parts[i].first_step > 0 or not over
        owned = NONE
        if linked:
            at = find_open(slots, parts[i].high, parts[i].low)
            if at >= 0:
                if slots[at].due == parts[i].first_step:
                    owned = slots[at].trajectory
                remove_open(slots, slot_of, at)
                opened -= 1
        begun[i] = owned < 0
        if owned < 0:
            taken += 1
            owned = free[num_free - taken]
            trajectories[owned].id = next_id + taken - 1
            trajectories[owned].length = 0
            trajectories[owned].first_step = parts[i].first_step
            trajectories[owned].returned = 0
            trajectories[owned].version = NONE
            trajectories[owned].score_version = NONE
            trajectories[owned].group = parts[i].group
            trajectories[owned].first_piece = NONE
            trajectories[owned].last_piece = NONE
        owner[i] = owned
        if linked and not over:
            due = parts[i].first_step + parts[i].length
            opened += put_open(slots, slot_of, parts[i].high, parts[i].low, owned, due)
    return taken, opened


@njit(cache=True, nogil=True)
def link(
    block: int,
    owner: Any,
    parts: Any,
    accumulate: bool,
    first_row: int,
    offsets: Any,
    blocks: Any,
    place: Any,
    piece_of: Any,
    pieces: Any,
    free: Any,
    num_free: int,
    trajectories: Any,
    group_steps: Any,
) -> None:
    """Makes pieces of parts that are laid at the end of a block, and appends them to their trajectories.

    Args:
        block: its entry.
        owner: ``(n,)`` the trajectories.
        parts: records ``PART`` ``(n,)``.
        accumulate: whether ``returned`` of a part is within it, not of the episode up to its end.
        first_row: row of the block's trajectory columns at which those of the parts begin.
        offsets: of the rows' ids; none: the next ones.
        free: entries for pieces, of which the last of ``num_free`` is taken first.
    """
    stored, used = blocks[block].stored, blocks[block].used
    start = stored
    for i in range(len(parts)):
        piece, owned, stop = free[num_free - 1 - i], owner[i], start + parts[i].length
        pieces[piece].block = block
        pieces[piece].start = start
        pieces[piece].stop = stop
        pieces[piece].next = NONE
        pieces[piece].trajectory = owned
        pieces[piece].row = first_row + i
        pieces[piece].evicted = 0
        last = trajectories[owned].last_piece
        if last < 0:
            trajectories[owned].first_piece = piece
        else:
            pieces[last].next = piece
        trajectories[owned].last_piece = piece
        trajectories[owned].length += stop - start
        trajectories[owned].terminated = parts[i].terminated
        trajectories[owned].truncated = parts[i].truncated
        if accumulate:
            trajectories[owned].returned += parts[i].returned
        else:
            trajectories[owned].returned = parts[i].returned
        trajectories[owned].version = max(trajectories[owned].version, parts[i].version)
        trajectories[owned].score = np.nan
        group_steps[trajectories[owned].group] += stop - start
        piece_of[block, start:stop] = piece
        start = stop
    count = start - stored
    if len(offsets):
        for i in range(count):
            place[block, offsets[i]] = stored + i
            used = max(used, offsets[i] + 1)
    else:
        for i in range(count):
            place[block, used + i] = stored + i
        used += count
    blocks[block].used = used
    blocks[block].stored = start
    blocks[block].live += count


@njit(cache=True, nogil=True)
def evict_rows(
    block: int,
    first: int,
    last: int,
    most: int,
    blocks: Any,
    place: Any,
    piece_of: Any,
    pieces: Any,
    trajectories: Any,
    group_steps: Any,
    dead: Any,
) -> Any:
    """Evicts up to ``most`` live rows of a block, oldest first, from offset ``first`` to before ``last``.

    All of them must be the first of their trajectories, as they are where everything older is gone.

    Args:
        dead: int32 ``(2, n)`` with room for all: pieces and trajectories that have come to an end.

    Returns:
        The offset at which it stopped, rows evicted, pieces dead, trajectories dead.
    """
    evicted, dead_pieces, dead_trajectories, offset = 0, 0, 0, first
    while offset < last and evicted < most:
        row = place[block, offset]
        offset += 1
        if row == NOWHERE:
            continue
        piece = piece_of[block, row]
        if piece < 0:
            continue
        owner = pieces[piece].trajectory
        piece_of[block, row] = NONE
        pieces[piece].start += 1
        pieces[piece].evicted += 1
        trajectories[owner].length -= 1
        trajectories[owner].first_step += 1
        group_steps[trajectories[owner].group] -= 1
        evicted += 1
        if pieces[piece].start == pieces[piece].stop:
            dead[0, dead_pieces] = piece
            dead_pieces += 1
            trajectories[owner].first_piece = pieces[piece].next
            if trajectories[owner].length == 0:
                dead[1, dead_trajectories] = owner
                dead_trajectories += 1
    blocks[block].live -= evicted
    return offset, evicted, dead_pieces, dead_trajectories


@njit(cache=True, nogil=True)
def evict_front(
    owner: int, most: int, blocks: Any, piece_of: Any, pieces: Any, trajectories: Any, group_steps: Any
) -> int:
    """Evicts the first ``most`` live steps of a trajectory; gives how many of its pieces are dead."""
    dead = 0
    piece = trajectories[owner].first_piece
    while most > 0:
        start = pieces[piece].start
        count = min(most, pieces[piece].stop - start)
        block = pieces[piece].block
        piece_of[block, start : start + count] = NONE
        pieces[piece].start += count
        pieces[piece].evicted += count
        blocks[block].live -= count
        trajectories[owner].length -= count
        trajectories[owner].first_step += count
        group_steps[trajectories[owner].group] -= count
        most -= count
        if pieces[piece].start == pieces[piece].stop:
            dead += 1
            piece = pieces[piece].next
            trajectories[owner].first_piece = piece
    return dead
