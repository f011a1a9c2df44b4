"""Compiled loops over the index: finding rows, and following trajectories.

Arguments that all of them share, and those of ``changes``:

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
    bits = bits_of(width)
    blocks, offsets = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        # Nearly all blocks are full, so that this is the right one, or one of the next.
        at = min(candidates[i] >> bits, last)
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
def bits_of(width: int) -> int:
    """By how many bits to shift in place of dividing by a power of two."""
    bits = 0
    while 1 << bits < width:
        bits += 1
    return bits


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
def offsets_of(block: int, used: int, place: Any, out: Any) -> None:
    """The offset of the id of each row of a block, into int64 ``(stored,)``."""
    for offset in range(used):
        row = place[block, offset]
        if row != NOWHERE:
            out[row] = offset


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
    bits, mask = bits_of(width), width - 1
    blocks = np.empty(n, np.int64)
    for i in range(n):
        number = row_ids[i] >> bits
        blocks[i] = entry_of[number] if 0 <= number < next_number else NONE
        if blocks[i] >= 0:
            prefetch(place.ctypes.data + (blocks[i] * width + (row_ids[i] & mask)) * place.itemsize)
    filled = 0
    for i in range(n):
        ahead = i + AHEAD
        if ahead < n and blocks[ahead] >= 0:
            row = place[blocks[ahead], row_ids[ahead] & mask]
            prefetch(piece_of.ctypes.data + (blocks[ahead] * width + row) * piece_of.itemsize)
        live[i] = False
        if blocks[i] < 0:
            continue
        offset = row_ids[i] & mask
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
