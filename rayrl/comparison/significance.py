"""Whether candidates differ beyond chance: Welch's t-test over training seeds, and Holm's adjustment.

What is tested is a candidate's mean score, of which each training seed gives one value: the mean over tasks.
So it does not matter how much the scores of a policy on several tasks have to do with each other. Welch's
test is what Colas, Sigaud and Oudeyer 2019 ("A Hitchhiker's Guide to Statistical Comparisons of Reinforcement
Learning Algorithms", arXiv 1904.06979) advise. Where many pairs are tested, some seem to differ by chance;
Holm's procedure keeps the chance that any does below the level. docs/evaluation.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from rayrl.evaluation.statistics import Estimate

LEVEL = 0.05
"""A difference with an adjusted p-value of no more is called one beyond chance."""
_ROUNDING = 1e-12
"""Means whose difference is a smaller share of them are equal; they were only added up in another order."""


def welch(x_N: NDArray[np.float64], y_K: NDArray[np.float64]) -> tuple[Estimate, float]:
    """The difference of two means with its 95 % interval, and the two-sided p-value (Welch 1947).

        x̄ − ȳ ± t(0.975, ν) · s,   s² = s_x²/N + s_y²/K,
        ν = s⁴ / ((s_x²/N)² / (N − 1) + (s_y²/K)² / (K − 1))

    Where the seeds of each score all alike, p is 0, or 1 where the means are equal.

    Args:
        x_N: ``(N,)``, one number for each run, two or more.
        y_K: ``(K,)``, those of the other candidate.
    """
    n = min(len(x_N), len(y_K))
    if np.isclose(x_N.mean(), y_K.mean(), rtol=_ROUNDING, atol=0.0):
        difference = 0.0
    else:
        difference = float(x_N.mean() - y_K.mean())
    of_x, of_y = x_N.var(ddof=1) / len(x_N), y_K.var(ddof=1) / len(y_K)
    error = np.sqrt(of_x + of_y)
    if error <= _ROUNDING * max(np.abs(x_N).max(), np.abs(y_K).max()):
        exact = Estimate(value=difference, low=difference, high=difference, n=n)
        return exact, float(difference == 0)
    freedom = (of_x + of_y) ** 2 / (of_x**2 / (len(x_N) - 1) + of_y**2 / (len(y_K) - 1))
    half = float(stdtrit(freedom, 0.975) * error)
    estimate = Estimate(value=difference, low=difference - half, high=difference + half, n=n)
    return estimate, float(2 * stdtr(freedom, -abs(difference) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number m (Holm 1979, "A simple sequentially rejective procedure").

    Of those sorted, p₍₁₎ ≤ … ≤ p₍ₘ₎, the i-th becomes max_{j ≤ i} min(1, (m − j + 1) p₍ⱼ₎). The chance that
    any true null hypothesis has one of no more than α is α at most, however the tests depend on each other.
    """
    order = np.argsort(p_values, kind="stable")
    left = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(np.minimum(left * np.asarray(p_values, np.float64)[order], 1.0))
    found: list[float] = adjusted.tolist()
    return found
