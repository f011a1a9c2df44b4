"""The split of trajectories into those to train on and those to validate on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import EPISODE_ID, SPLIT, Split
from rayrl.experience.ragged import Ragged

_WITHOUT_RUN = np.uint64(0xFFFF_FFFF)
"""Of an id's first word, the bits that do not stand for the run (``rayrl.rollout.origin``)."""


def split(episode_ids: NDArray[np.uint64], val_fraction: float, seed: int) -> NDArray[np.uint8]:
    """Puts whole episodes on one side each, the same way whatever their order.

    The n distinct episodes are ranked by a hash of (seed, id), and the first ``round(val_fraction * n)`` are
    for validation: of two episodes or more at least one and at most n - 1, of a single one none. The run's
    name is left out of the hash: an experiment that is run again has the same split.

    Args:
        episode_ids: ``(trajectories, 2)``; trajectories of one episode share their id.
        val_fraction: share of the episodes to validate on, in (0, 1), or 0 for none.
        seed: another seed gives another split.

    Returns:
        ``(trajectories,)`` codes ``Split.train`` and ``Split.val``.

    Raises:
        ValueError: ``val_fraction`` is not in [0, 1).
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"val_fraction is {val_fraction}, not in [0, 1)")
    episodes, episode_of_trajectory = np.unique(episode_ids.reshape(-1, 2), axis=0, return_inverse=True)
    n = len(episodes)
    num_val = min(max(round(val_fraction * n), 1), n - 1) if val_fraction and n > 1 else 0
    order = np.argsort(_hash(episodes, seed), kind="stable")
    codes = np.full(n, Split.train, np.uint8)
    codes[order[:num_val]] = Split.val
    return codes[episode_of_trajectory.reshape(-1)]


def split_by_stratum(
    episode_ids: NDArray[np.uint64], strata: Sequence[str], val_fraction: float, seed: int
) -> NDArray[np.uint8]:
    """As ``split``, with a part of each stratum on both sides where it is large enough.

    A stratum of n episodes of which ``round(val_fraction * n)`` is at least 1 is split on its own. The others
    are too small for that: were one episode taken of each, far more than the fraction would be held out. They
    are split together: of their m episodes ``round(val_fraction * m)`` are for validation, of each stratum
    at most one, the first in its ranking. Those strata come first that have others left, then those with a
    single episode, both by rank. At least one is taken where a stratum among them has another left, and never
    all m. So strata of one episode each are held out whole, ``val_fraction`` of them, and none where that
    rounds to 0.

    Args:
        episode_ids: ``(trajectories, 2)``; trajectories of one episode share their id.
        strata: ``(trajectories,)`` names.
        val_fraction: share of the episodes to validate on, in (0, 1), or 0 for none.
        seed: another seed gives another split.

    Returns:
        ``(trajectories,)`` codes ``Split.train`` and ``Split.val``.

    Raises:
        ValueError: ``val_fraction`` is not in [0, 1).
    """
    names, codes = np.array(strata, np.str_), np.full(len(strata), Split.train, np.uint8)
    pooled: list[tuple[bool, int, NDArray[np.intp]]] = []
    num_pooled = 0
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        episodes, episode_of_row = np.unique(episode_ids[rows], axis=0, return_inverse=True)
        n = len(episodes)
        if n > 1 and round(val_fraction * n) >= 1:
            codes[rows] = split(episode_ids[rows], val_fraction, seed)
            continue
        ranking = _hash(episodes, seed)
        first = int(np.argmin(ranking))
        pooled.append((n == 1, int(ranking[first]), rows[episode_of_row.reshape(-1) == first]))
        num_pooled += n
    if not pooled or not val_fraction:
        return codes
    at_least = 0 if all(is_last for is_last, _, _ in pooled) else 1
    num_val = min(max(round(val_fraction * num_pooled), at_least), num_pooled - 1)
    for _, _, rows in sorted(pooled, key=lambda each: each[:2])[:num_val]:
        codes[rows] = Split.val
    return codes


def uniform_of(episode_ids: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each episode, the same in every run: a hash of (seed, id) without the run.

    Args:
        episode_ids: ``(n, 2)``.
        seed: another seed gives other numbers.

    Returns:
        ``(n,)``.
    """
    high = _hash(episode_ids.reshape(-1, 2), seed) >> np.uint64(11)
    return high.astype(np.float64) * 2.0**-53


def with_split(
    batch: TrajectoryBatch, val_fraction: float, seed: int, *, strata: str | None = None
) -> TrajectoryBatch:
    """The batch with its column ``split`` set as ``split`` says.

    Args:
        batch: what to split.
        val_fraction: share of the episodes to validate on, in (0, 1), or 0 for none.
        seed: another seed gives another split.
        strata: a text trajectory column of which each value is to have its part on both sides, as
            ``split_by_stratum`` says.

    Raises:
        DataError: the batch has no episode ids, or no such column.
        ValueError: ``val_fraction`` is not in [0, 1).
    """
    episode_ids = batch.trajectory_columns.get(EPISODE_ID)
    if episode_ids is None or isinstance(episode_ids, Ragged):
        raise DataError("is needed to split a batch by episode", where=EPISODE_ID)
    if strata is None:
        return batch.with_trajectory_columns(**{SPLIT: split(episode_ids, val_fraction, seed)})
    column = batch.trajectory_columns.get(strata)
    if not isinstance(column, Ragged):
        raise DataError("is no text column of the batch, and cannot divide it", where=strata)
    codes = split_by_stratum(episode_ids, column.to_text(), val_fraction, seed)
    return batch.with_trajectory_columns(**{SPLIT: codes})


def select_split(batch: TrajectoryBatch, side: Split) -> TrajectoryBatch:
    """The trajectories on one side of a split.

    Raises:
        DataError: the batch has no column ``split``.
    """
    codes = batch.trajectory_columns.get(SPLIT)
    if codes is None or isinstance(codes, Ragged):
        raise DataError("the batch has not been split", where=SPLIT)
    return batch.select(np.flatnonzero(codes == side))


def _hash(episodes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """``(n,)`` hashes of ``(n, 2)`` ids."""
    state = _mix(np.full(len(episodes), seed & 0xFFFF_FFFF_FFFF_FFFF, np.uint64))
    for word in (episodes[:, 0] & _WITHOUT_RUN, episodes[:, 1]):
        state = _mix(state ^ word)
    return state


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection of 64 bits that mixes well."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
