"""Compiled loops that change the index: taking parts of trajectories in, and evicting.

The arguments that all of them share are those of ``kernels``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rayrl.experience.replay.kernels import NOWHERE
from rayrl.experience.replay.open_episodes import find, put, remove
from rayrl.experience.replay.tables import NONE


@njit(cache=True, nogil=True)
def own(
    parts: Any,
    next_id: int,
    slots: Any,
    slot_of: Any,
    trajectories: Any,
    free: Any,
    num_free: int,
    owner: Any,
    begun: Any,
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
            at = find(slots, parts[i].high, parts[i].low)
            if at >= 0:
                if slots[at].due == parts[i].first_step:
                    owned = slots[at].trajectory
                remove(slots, slot_of, at)
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
            opened += put(slots, slot_of, parts[i].high, parts[i].low, owned, due)
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
    most: int,
    blocks: Any,
    place: Any,
    piece_of: Any,
    pieces: Any,
    trajectories: Any,
    group_steps: Any,
    leaves: Any,
    group_weights: Any,
    dead: Any,
) -> Any:
    """Evicts up to ``most`` live rows of a block, oldest first, from offset ``first`` on.

    All of them must be the first of their trajectories, as they are where everything older is gone.

    Args:
        leaves: weights by priority, with ``group_weights``; there may be none.
        dead: int32 ``(2, n)`` with room for all: pieces and trajectories that have come to an end.

    Returns:
        The offset at which it stopped, rows evicted, pieces dead, trajectories dead.
    """
    evicted, dead_pieces, dead_trajectories, offset = 0, 0, 0, first
    last = blocks[block].used
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
        if len(leaves):
            group_weights[trajectories[owner].group] -= leaves[block, offset - 1]
            leaves[block, offset - 1] = 0
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
