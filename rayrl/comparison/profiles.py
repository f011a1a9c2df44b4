"""Performance profiles: how large a share of runs scores above a threshold (Agarwal et al. 2021, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.aggregates import Scores
from rayrl.comparison.bootstrap import bootstrap
from rayrl.evaluation.statistics import percentile_interval

RESAMPLES = 2_000
"""Fewer than of single numbers, since each draw is a curve."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The share of runs above each threshold, with its 95 % band. All are ``(T,)``."""

    thresholds: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def score_distribution(scores_NM: Scores, thresholds_T: NDArray[np.float64]) -> NDArray[np.float64]:
    """F(τ) = 1/M · Σ_m 1/N · Σ_n 1[x_nm > τ].

    Args:
        scores_NM: ``(..., N, M)``, runs × tasks.
        thresholds_T: ``(T,)``.

    Returns:
        ``(..., T)``.
    """
    above = scores_NM[..., None] > thresholds_T
    shares: NDArray[np.float64] = above.mean(axis=-3).mean(axis=-2)
    return shares


def profile(scores_NM: Scores, thresholds_T: NDArray[np.float64], *, random: np.random.Generator) -> Profile:
    """The profile of a candidate, with a pointwise band of resamples of its runs.

    Args:
        scores_NM: ``(N, M)``, runs × tasks.
        thresholds_T: ``(T,)``.
        random: draws the runs.

    Raises:
        DataError: there are too few runs.
    """
    draws = bootstrap(
        lambda drawn: score_distribution(drawn, thresholds_T), scores_NM, random=random, resamples=RESAMPLES
    )
    bands = [percentile_interval(draws[:, i]) for i in range(len(thresholds_T))]
    low, high = np.array(bands, np.float64).reshape(-1, 2).T
    return Profile(thresholds_T, score_distribution(scores_NM, thresholds_T), low, high)
