"""Cutting the rows of a pickled replay buffer into episodes.

The rows lie in a ring, rollout after rollout, and the steps of several environments take turns. The flag
``done`` of a row says that the step *before* it ended its episode. What the row itself is depends on how the
environments were reset:

=============  =================================================  ==================================
row flagged    Gymnasium 1: reset with the next step              before: reset with the same step
=============  =================================================  ==================================
observation    the ended episode's final one                      the next episode's first one
action         ignored                                            the next episode's first one
reward         0                                                  of that action
=============  =================================================  ==================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.legacy.report import ImportReport

_NONE = -1


@dataclass(frozen=True, slots=True)
class Episodes:
    """Trajectories of a ring of rows, each array ``(n,)`` but for ``rows``.

    Args:
        rows: of all steps, trajectory after trajectory.
        lengths: steps of each.
        final: row whose observation is the one after the last step.
        ended: whether the episode ended with the last step.
        whole: whether the trajectory is a whole episode.
        val: whether it is for validation.
        reset_later: whether flagged rows are resets, as Gymnasium 1 makes them.
    """

    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    final: NDArray[np.int64]
    ended: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    val: NDArray[np.bool_]
    reset_later: bool


def cut_episodes(
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    val: NDArray[np.bool_],
    dones: NDArray[np.bool_],
    rewards: NDArray[Any],
    size: int,
    num_envs: int,
    report: ImportReport,
) -> Episodes:
    """Finds the episodes in a ring of rows.

    Args:
        starts: ``(rollouts,)`` first row of each rollout, in the order in which they were added.
        lengths: ``(rollouts,)`` its rows.
        val: ``(rollouts,)`` whether it is for validation.
        dones: ``(capacity,)`` the flags.
        rewards: ``(capacity,)``.
        size: rows in use.
        num_envs: environments that took turns in a rollout.
        report: told of what is dropped, and of what was decided.

    Raises:
        DataError: a rollout is no multiple of the environments.
    """
    row, rollout, follows = _stream(starts, lengths, len(dones), size, num_envs, report)
    flagged = dones[row]
    reset_later = bool((rewards[row[flagged]] == 0).all()) if flagged.any() else True
    if flagged.any():
        report.note(
            "rows flagged done have reward 0: they are resets, whose observation is the final one of the "
            "episode before (Gymnasium 1)"
            if reset_later
            else "rows flagged done have rewards: they are first steps of episodes, and the final "
            "observations of those before were not saved; their last observation stands in for it"
        )
    n = len(row)
    first = ~follows | flagged if not reset_later else ~follows | np.append(False, flagged[:-1]) | flagged
    begin = np.flatnonzero(first)
    stop = np.append(begin[1:], n)
    if reset_later:
        # A flagged row is no step: it makes a piece of its own, which is passed over.
        steps = ~flagged[begin]
        report.drop("resets, which are no steps", int((~steps).sum()))
        begin, stop = begin[steps], stop[steps]
    after = np.minimum(stop, n - 1)
    ended = (stop < n) & follows[after] & flagged[after]
    known = flagged[begin] if not reset_later else (begin > 0) & flagged[np.maximum(begin - 1, 0)]
    unwrapped = size < len(dones) and n > 0
    known |= (row[begin] < num_envs) & unwrapped
    # An open end has no observation after its last step: that of the last step becomes it.
    kept = np.where(ended, stop - begin, stop - begin - 1)
    report.drop("last steps of open ends, whose next observation is not known", int((~ended).sum()))
    final = row[np.where(ended & reset_later, after, stop - 1)] if n else row
    some = kept > 0
    begin, kept, final, ended, known = begin[some], kept[some], final[some], ended[some], known[some]
    at = np.repeat(begin - np.append(0, np.cumsum(kept)[:-1]), kept) + np.arange(kept.sum())
    sides = val[rollout[at]]
    side = val[rollout[begin]]
    changed = int((sides != np.repeat(side, kept)).sum())
    if changed:
        report.note(
            f"{changed} steps changed their side of the split, so that an episode is on the side it began on"
        )
    return Episodes(row[at], kept, final, ended, known & ended, side, reset_later)


def _stream(
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    capacity: int,
    size: int,
    num_envs: int,
    report: ImportReport,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Rows in the order of time, environment after environment.

    Returns:
        The rows, the rollout of each, and whether each follows on the one before it.
    """
    possible = (starts >= 0) & (starts < capacity) & (lengths > 0) & (lengths <= capacity)
    report.drop("rollouts whose place in the buffer is impossible", int((~possible).sum()))
    owner = np.full(capacity, _NONE, np.int64)
    for number in np.flatnonzero(possible).tolist():
        if lengths[number] % num_envs:
            raise DataError(
                f"rollout {number} has {lengths[number]} rows, which {num_envs} environments cannot have "
                "filled",
                remedy="give the number of environments that the run had: --num-envs",
            )
        owner[(starts[number] + np.arange(lengths[number])) % capacity] = number
    report.drop("rows of no rollout, whose successor is not known", int((owner[:size] == _NONE).sum()))
    parts: list[Any] = [[], [], []]
    overwritten = 0
    streams: list[list[Any]] = [[] for _ in range(num_envs)]
    due = None
    for number in np.flatnonzero(possible).tolist():
        start, length = int(starts[number]), int(lengths[number])
        rows = (start + np.arange(length)) % capacity
        kept = (owner[rows] == number) & (rows < size)
        overwritten += int((~kept).sum())
        goes_on = start == due
        due = (start + length) % capacity
        for env in range(num_envs):
            mine = kept[env::num_envs]
            follows = np.append(goes_on, mine[:-1])
            streams[env].append((rows[env::num_envs][mine], number, follows[mine], bool(mine[-1])))
    report.drop("rows that a newer rollout overwrote, or that are not in use", overwritten)
    for stream in streams:
        ends_whole = False
        for i, (rows, number, follows, whole_end) in enumerate(stream):
            if len(rows):
                follows[0] = follows[0] and i > 0 and ends_whole
            ends_whole = whole_end
            parts[0].append(rows)
            parts[1].append(np.full(len(rows), number))
            parts[2].append(follows)
    none = np.empty(0, np.int64)
    row, rollout, follows = (np.concatenate([none, *part]) for part in parts)
    return row.astype(np.int64), rollout.astype(np.int64), follows.astype(np.bool_)
