"""Which trajectories may go on: a hash table of open episodes, read and written by compiled loops."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.experience.replay.tables import NONE

SLOT: Final = np.dtype(
    [
        ("high", np.uint64),  # first word of the episode's id
        ("low", np.uint64),  # second word
        ("due", np.int64),  # the step at which it would go on
        ("trajectory", np.int32),  # entry of the trajectory that goes on there; NONE: the slot is free
    ],
    align=True,
)
_HIGH = np.uint64(0x9E3779B97F4A7C15)
_LOW = np.uint64(0xBF58476D1CE4E5B9)
_HALF = np.uint64(32)


class OpenEpisodes:
    """Trajectories of one partition that may go on, by the ids of their episodes.

    An episode is open at one step, as part of one trajectory. Slots are filled to a half at most, and looked
    through from that which an id's hash names.

    Attributes:
        slots: of ``SLOT``, a power of two of them.
        slot_of: int32, for each entry of a trajectory its slot, or NONE.
        count: slots that are taken.
    """

    def __init__(self) -> None:
        self.slots: NDArray[Any] = _free_slots(64)
        self.slot_of = np.full(64, NONE, np.int32)
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def make_room(self, more: int, entries: int) -> None:
        """Makes room for some more episodes, and for trajectories with entries below ``entries``."""
        if entries > len(self.slot_of):
            grown = np.full(entries, NONE, np.int32)
            grown[: len(self.slot_of)] = self.slot_of
            self.slot_of = grown
        size = len(self.slots)
        while 2 * (self.count + more) > size:
            size *= 2
        if size > len(self.slots):
            slots = _free_slots(size)
            _move(self.slots, slots, self.slot_of)
            self.slots = slots

    def open(self, episode: NDArray[np.uint64], trajectory: int, due: int) -> None:
        """Notes that an episode ``(2,)`` may go on at step ``due``, as part of a trajectory and no other."""
        self.make_room(1, trajectory + 1)
        self.count += put(self.slots, self.slot_of, episode[0], episode[1], trajectory, due)

    def close(self, trajectories: NDArray[np.int32]) -> None:
        """Notes that some trajectories ``(n,)`` do not go on."""
        if self.count and len(trajectories):
            self.count -= _close(self.slots, self.slot_of, trajectories)


def _free_slots(size: int) -> NDArray[Any]:
    slots = np.zeros(size, SLOT)
    slots["trajectory"] = NONE
    return slots


@njit(cache=True, nogil=True)
def find(slots: Any, high: Any, low: Any) -> Any:
    """The slot of an episode, or NONE."""
    at = _home(slots, high, low)
    while slots[at].trajectory >= 0:
        if slots[at].high == high and slots[at].low == low:
            return at
        at = (at + 1) & (len(slots) - 1)
    return NONE


@njit(cache=True, nogil=True)
def put(slots: Any, slot_of: Any, high: Any, low: Any, trajectory: int, due: int) -> int:
    """Notes where an episode may go on; gives by how many more slots are taken now, which may be none."""
    more = 1
    if slot_of[trajectory] >= 0:
        remove(slots, slot_of, slot_of[trajectory])
        more -= 1
    taken = find(slots, high, low)
    if taken >= 0:
        remove(slots, slot_of, taken)
        more -= 1
    at = _home(slots, high, low)
    while slots[at].trajectory >= 0:
        at = (at + 1) & (len(slots) - 1)
    slots[at].high = high
    slots[at].low = low
    slots[at].due = due
    slots[at].trajectory = trajectory
    slot_of[trajectory] = at
    return more


@njit(cache=True, nogil=True)
def remove(slots: Any, slot_of: Any, at: int) -> None:
    """Frees a slot; those behind it that were meant for it, or for one before, move up."""
    last = len(slots) - 1
    slot_of[slots[at].trajectory] = NONE
    behind = at
    while True:
        behind = (behind + 1) & last
        if slots[behind].trajectory < 0:
            break
        home = _home(slots, slots[behind].high, slots[behind].low)
        if (behind - home) & last < (behind - at) & last:
            continue
        slots[at].high = slots[behind].high
        slots[at].low = slots[behind].low
        slots[at].due = slots[behind].due
        slots[at].trajectory = slots[behind].trajectory
        slot_of[slots[at].trajectory] = at
        at = behind
    slots[at].trajectory = NONE


@njit(cache=True, nogil=True)
def _home(slots: Any, high: Any, low: Any) -> Any:
    mixed = (np.uint64(high) ^ (np.uint64(low) * _HIGH)) * _LOW
    return np.int64(mixed >> _HALF) & (len(slots) - 1)


@njit(cache=True, nogil=True)
def _close(slots: Any, slot_of: Any, trajectories: Any) -> int:
    closed = 0
    for i in range(len(trajectories)):
        if trajectories[i] < len(slot_of) and slot_of[trajectories[i]] >= 0:
            remove(slots, slot_of, slot_of[trajectories[i]])
            closed += 1
    return closed


@njit(cache=True, nogil=True)
def _move(old: Any, new: Any, slot_of: Any) -> None:
    for at in range(len(old)):
        if old[at].trajectory >= 0:
            slot_of[old[at].trajectory] = NONE
            put(new, slot_of, old[at].high, old[at].low, old[at].trajectory, old[at].due)
