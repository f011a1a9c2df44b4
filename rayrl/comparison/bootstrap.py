"""Intervals over training seeds: the percentile bootstrap, training seeds drawn whole.

The seeds of each candidate are drawn with replacement, as often as there are seeds, independently of other
candidates; a statistic of many such draws has the interval between their 2.5th and 97.5th percentiles.
A seed brings its scores on all tasks: they are of one trained policy, and a lucky one is lucky on all of
them. The bootstrap of Agarwal et al. 2021 (section 4.1) draws the runs of each task apart, where each
task has trainings of its own; here that would take one lucky seed for as many as there are tasks
(docs/decisions/0023). Of few seeds the intervals are too narrow, as every bootstrap's: docs/evaluation.md has
the coverage that was measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.aggregates import Scores
from rayrl.errors import DataError
from rayrl.evaluation.statistics import (
    ENOUGH_RUNS,
    FEWEST_RUNS,
    RESAMPLES,
    Estimate,
    percentile_interval,
)

_BLOCK = 500
"""Resamples drawn at once, which bounds the memory."""

Statistic = Callable[..., NDArray[np.float64]]
"""Takes one ``(b, N_i, M)`` for each set of scores, returns ``(b, ...)``."""


def require_runs(runs: int, *, where: str) -> None:
    """Makes sure that there are enough training seeds for statistics over them.

    Raises:
        DataError: there are fewer than ``FEWEST_RUNS``.
    """
    if runs < FEWEST_RUNS:
        raise DataError(
            f"{runs} training seed{'' if runs == 1 else 's'}: statistics over seeds need at least "
            f"{FEWEST_RUNS}",
            where=where,
            remedy=f"add seeds to the experiment, {ENOUGH_RUNS} or more; what has been trained is kept",
        )


def resample(scores_NM: Scores, resamples: int, random: np.random.Generator) -> Scores:
    """Draws runs with replacement, each with its scores on all tasks.

    Args:
        scores_NM: ``(N, M)``, runs × tasks.
        resamples: how many draws to make.
        random: draws the runs.

    Returns:
        ``(resamples, N, M)``.
    """
    runs = len(scores_NM)
    drawn: Scores = scores_NM[random.integers(runs, size=(resamples, runs))]
    return drawn


def bootstrap(
    statistic: Statistic, *scores: Scores, random: np.random.Generator, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """A statistic of many resamples.

    Args:
        statistic: of one ``(b, N_i, M)`` for each of ``scores``, along the first axis.
        scores: ``(N_i, M)`` each, of candidates that may have different numbers of runs.
        random: draws the runs; the same state gives the same draws.
        resamples: how many.

    Returns:
        ``(resamples, ...)``.

    Raises:
        DataError: there are too few runs, or a score is not known.
    """
    for each in scores:
        if each.ndim != 2 or not np.isfinite(each).all():
            raise DataError(
                f"scores must be finite, runs × tasks; these are of shape {each.shape}, "
                f"{np.count_nonzero(~np.isfinite(each))} of them not finite",
                where="bootstrap",
            )
        require_runs(len(each), where="bootstrap")
    draws = [
        statistic(*(resample(each, min(_BLOCK, resamples - start), random) for each in scores))
        for start in range(0, resamples, _BLOCK)
    ]
    return np.concatenate(draws)


def interval(
    statistic: Statistic, *scores: Scores, random: np.random.Generator, resamples: int = RESAMPLES
) -> Estimate:
    """A statistic with its 95 % interval; ``n`` is the number of runs, the fewest of any candidate's.

    Args and errors as of ``bootstrap``.
    """
    low, high = percentile_interval(bootstrap(statistic, *scores, random=random, resamples=resamples))
    value = float(statistic(*(each[None] for each in scores))[0])
    return Estimate(value=value, low=low, high=high, n=min(len(each) for each in scores))
