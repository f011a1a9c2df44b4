"""Estimates with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from rayrl.config import Config
from rayrl.config.seeding import Role, generator

RESAMPLES = 10_000
FEWEST_RUNS = 3
"""Of fewer training runs there are no statistics: of one an interval has no width, of two next to none."""
ENOUGH_RUNS = 5
"""Of fewer, an interval over training runs says little."""
_QUANTILES = (0.025, 0.975)
_BLOCK = 1_000
"""Resamples drawn at once, which bounds the memory."""


class Estimate(Config):
    """A number, and the 95 % interval in which it may lie.

    Attributes:
        value: the estimate itself; None where nothing is known.
        low: lower end of the interval; None where there is too little to tell, as with a single sample.
        high: upper end.
        n: samples behind it.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


class Summary(Config):
    """What is told of one metric's values over episodes; None where there are too few of them."""

    n: int
    """Episodes in which it is known."""
    mean: float | None
    low: float | None
    """Lower end of the mean's 95 % interval."""
    high: float | None
    std: float | None
    """Sample standard deviation."""
    median: float | None


def bootstrap_means(
    samples: NDArray[np.float64], *, resamples: int = RESAMPLES, stratum: int = 0
) -> NDArray[np.float64]:
    """Means of samples drawn with replacement.

    Rows are drawn whole, so that columns which belong together stay paired. The draws are the same in every
    call: the same samples give the same interval.

    Args:
        samples: (n, k): n samples of k numbers each.
        resamples: how many means to draw.
        stratum: samples that are drawn independently of each other have different ones.

    Returns:
        (resamples, k).
    """
    random = generator(0, Role.evaluation, rank=stratum)
    means = np.empty((resamples, samples.shape[1]))
    for start in range(0, resamples, _BLOCK):
        block = means[start : start + _BLOCK]
        rows = random.integers(len(samples), size=(len(block), len(samples)), dtype=np.int32)
        block[:] = samples[rows].mean(axis=1)
    return means


def mean_over_episodes(values: ArrayLike) -> Estimate:
    """The mean with its percentile-bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    Args:
        values: one number per episode; NaN where it is not known.
    """
    known = _known(values)
    if not len(known):
        return Estimate(value=None, low=None, high=None, n=0)
    low, high = percentile_interval(bootstrap_means(known[:, None])[:, 0]) if len(known) > 1 else (None, None)
    return Estimate(value=float(known.mean()), low=low, high=high, n=len(known))


def mean_over_runs(values: Sequence[float]) -> Estimate:
    """The mean with Student's t interval, for the few samples that training runs are.

    mean ± t(0.975, n − 1) · s / √n. With so few samples a bootstrap interval is too narrow (Colas, Sigaud &
    Oudeyer 2018, "How many random seeds?").

    Args:
        values: one number per run.
    """
    known = _known(values)
    n = len(known)
    if not n:
        return Estimate(value=None, low=None, high=None, n=0)
    mean = float(known.mean())
    if n == 1:
        return Estimate(value=mean, low=None, high=None, n=1)
    half = float(stdtrit(n - 1, _QUANTILES[1]) * known.std(ddof=1) / np.sqrt(n))
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n)


def ratio_over_runs(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """The ratio of two means over the same runs, with Fieller's interval.

    The ratio ρ is not refuted where the mean of aᵢ − ρ bᵢ is within t(0.975, n − 1) standard errors of 0:

        (ā − ρ b̄)² ≤ t²/n · (s_aa − 2 ρ s_ab + ρ² s_bb)

    (Fieller 1954, "Some problems in interval estimation"). Numbers of the same run may depend on each other,
    and few runs make it wide, as ``mean_over_runs``. There is none where the mean of the denominators cannot
    be told from 0.

    Args:
        numerators: one number per run.
        denominators: those of the same runs, > 0 in the mean.
    """
    a, b = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    n = len(a)
    if not n:
        return Estimate(value=None, low=None, high=None, n=0)
    ratio = float(a.mean() / b.mean())
    if n == 1:
        return Estimate(value=ratio, low=None, high=None, n=1)
    (s_aa, s_ab), (_, s_bb) = np.cov(a, b) * stdtrit(n - 1, _QUANTILES[1]) ** 2 / n
    # The roots of (b̄² − s_bb) ρ² − 2 (ā b̄ − s_ab) ρ + (ā² − s_aa).
    square, half, constant = b.mean() ** 2 - s_bb, a.mean() * b.mean() - s_ab, a.mean() ** 2 - s_aa
    if square <= 0:
        return Estimate(value=ratio, low=None, high=None, n=n)
    spread = np.sqrt(max(half**2 - square * constant, 0.0))
    low, high = (half - spread) / square, (half + spread) / square
    return Estimate(value=ratio, low=float(low), high=float(high), n=n)


def summarize(values: ArrayLike) -> Summary:
    """Mean with its bootstrap interval, standard deviation and median; NaN counts as unknown."""
    known = _known(values)
    mean = mean_over_episodes(known)
    return Summary(
        n=mean.n,
        mean=mean.value,
        low=mean.low,
        high=mean.high,
        std=float(known.std(ddof=1)) if mean.n > 1 else None,
        median=float(np.median(known)) if mean.n else None,
    )


def percentile_interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of bootstrap draws."""
    low, high = np.quantile(draws, _QUANTILES)
    return float(low), float(high)


def _known(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[~np.isnan(array)]
