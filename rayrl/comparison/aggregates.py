"""One number for many runs on many tasks.

Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", arXiv 2108.13264.

Scores are float64 ``(..., N, M)``: N runs of a candidate, one for each training seed, on M tasks. What stands
before are resamples, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
"""``(..., N, M)``: runs × tasks."""
Aggregate = Callable[[Scores], NDArray[np.float64]]
"""Takes ``(..., N, M)``, returns ``(...)``."""

_TRIMMED = 0.25


def iqm(scores_NM: Scores) -> NDArray[np.float64]:
    """The interquartile mean: of all N · M scores, without the ⌊N · M / 4⌋ lowest and as many highest."""
    flat = np.sort(scores_NM.reshape(*scores_NM.shape[:-2], -1), axis=-1)
    cut = int(_TRIMMED * flat.shape[-1])
    trimmed: NDArray[np.float64] = flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    return trimmed


def mean(scores_NM: Scores) -> NDArray[np.float64]:
    """The mean over tasks of each task's mean over runs."""
    over_tasks: NDArray[np.float64] = scores_NM.mean(axis=-2).mean(axis=-1)
    return over_tasks


def median(scores_NM: Scores) -> NDArray[np.float64]:
    """The median over tasks of each task's mean over runs."""
    over_tasks: NDArray[np.float64] = np.median(scores_NM.mean(axis=-2), axis=-1)
    return over_tasks


def optimality_gap(scores_NM: Scores) -> NDArray[np.float64]:
    """By how much the runs miss a score of 1: 1 − mean(min(x, 1)). What is beyond 1 makes up for nothing."""
    gap: NDArray[np.float64] = 1.0 - np.minimum(scores_NM, 1.0).mean(axis=(-2, -1))
    return gap


AGGREGATES: Mapping[str, Aggregate] = MappingProxyType(
    {"iqm": iqm, "mean": mean, "median": median, "optimality_gap": optimality_gap}
)
