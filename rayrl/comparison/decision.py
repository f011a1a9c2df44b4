"""Weighs candidates: every criterion from 0 to 1, their weighted mean, and how much of it is chance.

A quality of which the most is 1, as a share or a score, counts as it is; where a candidate has more, all are
divided by the best one's, and what is below 0 counts 0. Returns as they are go from 0, the worst candidate's,
to 1, the best one's. A cost counts best / own: 1 for the cheapest, ½ for who costs twice as much. What is not
known of every candidate does not count.

    total = Σ weight · utility / Σ weight

How sure an order is, is found by drawing each candidate's training seeds with replacement, whole, so that
what belongs to a seed stays together, and weighing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.criteria import Criterion
from rayrl.evaluation.statistics import RESAMPLES

Values = Mapping[Criterion, Sequence[NDArray[np.float64]]]
"""By criterion, ``(N_c,)`` for each candidate: a number for each of its seeds, NaN where unknown."""


def known_criteria(values: Values) -> list[Criterion]:
    """Those that are known of every candidate, in at least one of its seeds."""
    return [
        criterion
        for criterion, by_candidate in values.items()
        if all(np.isfinite(each).any() for each in by_candidate)
    ]


def utility(criterion: Criterion, means_C: NDArray[np.float64], *, unscaled: bool) -> NDArray[np.float64]:
    """How good each candidate is in one criterion, from 0 to 1.

    Args:
        criterion: the criterion.
        means_C: ``(..., C)``, the candidates' means.
        unscaled: whether a quality has no scale of its own, as returns have none.

    Returns:
        ``(..., C)``.
    """
    best = (means_C.min if criterion.is_cost else means_C.max)(axis=-1, keepdims=True)
    if criterion.is_cost:
        # Where the cheapest costs nothing, others that cost something count 0.
        shares = np.divide(best, means_C, out=np.ones_like(means_C), where=means_C > 0)
        return np.asarray(shares, np.float64)
    if unscaled:
        worst = means_C.min(axis=-1, keepdims=True)
        room = np.broadcast_to(best - worst, means_C.shape)
        shares = np.divide(means_C - worst, room, out=np.ones_like(means_C), where=room > 0)
        return np.asarray(shares, np.float64)
    return np.asarray(np.maximum(means_C, 0.0) / np.maximum(best, 1.0), np.float64)


def totals(
    utilities: Mapping[Criterion, NDArray[np.float64]], weights: Mapping[Criterion, float]
) -> NDArray[np.float64]:
    """The weighted means, of the shape of each utility."""
    weighed = sum(weights[criterion] * value for criterion, value in utilities.items())
    return np.asarray(weighed / sum(weights[criterion] for criterion in utilities), np.float64)


def share_of_firsts(
    values: Values,
    weights: Mapping[Criterion, float],
    *,
    unscaled: Sequence[Criterion] = (),
    random: np.random.Generator,
    resamples: int = RESAMPLES,
) -> NDArray[np.float64]:
    """In how large a share of resamples of the seeds each candidate comes first; who ties shares.

    Args:
        values: of the criteria that count.
        weights: of the same.
        unscaled: the qualities without a scale of their own.
        random: draws the seeds.
        resamples: how often.

    Returns:
        ``(C,)``, which sums to 1.
    """
    sizes = [len(each) for each in next(iter(values.values()))]
    rows = [random.integers(size, size=(resamples, size)) for size in sizes]
    utilities = {}
    for criterion, by_candidate in values.items():
        filled = [np.where(np.isfinite(each), each, np.nanmean(each)) for each in by_candidate]
        means_RC = np.column_stack(
            [each[drawn].mean(axis=1) for each, drawn in zip(filled, rows, strict=True)]
        )
        utilities[criterion] = utility(criterion, means_RC, unscaled=criterion in unscaled)
    drawn_RC = totals(utilities, weights)
    first = np.isclose(drawn_RC, drawn_RC.max(axis=1, keepdims=True), rtol=1e-12, atol=1e-12)
    share: NDArray[np.float64] = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    return share


def ranks(scores_C: NDArray[np.float64]) -> list[int]:
    """From 1 for the highest; equal ones have equal ranks, and leave out those that follow."""
    return [1 + int((scores_C > score).sum()) for score in scores_C]


def pareto_front(goods_CK: NDArray[np.float64]) -> list[int]:
    """Indices of those whom no other beats: none is at least as good in everything, and better in something.

    Args:
        goods_CK: ``(C, K)``, candidates × what more of is better.
    """
    return [
        i
        for i, own in enumerate(goods_CK)
        if not ((goods_CK >= own).all(axis=1) & (goods_CK > own).any(axis=1)).any()
    ]
