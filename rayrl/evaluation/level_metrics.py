"""How well levels are solved: per category, and over all of them.

Of n episodes, with success sᵢ ∈ {0, 1}, steps Lᵢ, step limit Mᵢ, the planner's steps ℓᵢ and deaths dᵢ:

    success_rate     Σ sᵢ / n
    steps            Σ Lᵢ / n, of episodes that did not raise
    efficiency       success_rate / (Σ Lᵢ / Mᵢ / n)          one that raised counts with Mᵢ steps
    spl              Σ sᵢ ℓᵢ / max(Lᵢ, ℓᵢ) / n                   success weighted by path length
    path_optimality  Σ sᵢ ℓᵢ / Lᵢ / Σ sᵢ                         of what succeeded, how direct it was
    safety           1 − Σ dᵢ / n
    return           mean of the undiscounted returns, of episodes that did not raise
    failed_by_…      share of the episodes that failed, by cause; together 1 − success_rate

``efficiency`` is the plain ratio of success to relative steps: an early death makes it better, since it
lowers the steps. ``spl`` (Anderson et al. 2018, "On evaluation of embodied navigation agents", arXiv
1807.06757) is 0 for whatever did not succeed. A metric is left out where the environment does not tell what
it takes.

Micro: all episodes alike. Macro: the mean of the categories, each with the same weight. Both are over the
categories besides ``as_trained``, where there are any. Intervals: bootstrap, episodes being drawn within
their category; there is none where a category has but one. Of several policies on the same episodes, such as
those of training seeds: the mean of theirs, the same episodes being drawn for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.config import Config
from rayrl.evaluation.result import (
    DEATH,
    ERROR,
    LENGTH,
    OPTIMAL_STEPS,
    RETURN,
    STEP_LIMIT,
    STUCK,
    SUCCESS,
    TIMEOUT,
    EvaluationResult,
)
from rayrl.evaluation.statistics import Estimate, bootstrap_means, percentile_interval
from rayrl.evaluation.suites import AS_TRAINED

CAUSES = (ERROR, DEATH, TIMEOUT, STUCK)
"""Why an episode failed; of several the first counts."""
OTHER = "other"
"""Of failures of which the environment tells no cause."""
FAILED_BY = "failed_by_"
_COMPLEMENTS = ("safety",)
"""Metrics that are 1 minus a ratio."""
_Values = NDArray[np.float64]
_Ratios = dict[str, tuple[_Values, _Values]]
"""By metric, what stands above and below in a ratio of means over episodes, (episodes,) each."""


class LevelMetrics(Config):
    """Estimates by metric."""

    categories: dict[str, dict[str, Estimate]]
    """By category, ``as_trained`` among them."""
    micro: dict[str, Estimate]
    """Over all episodes."""
    macro: dict[str, Estimate]
    """Over the categories."""


def level_metrics(result: EvaluationResult) -> LevelMetrics | None:
    """The metrics of a result; None where the environment does not tell success.

    Args:
        result: of one category or several.
    """
    if SUCCESS not in result.metrics:
        return None
    parts = {name: [result.within(name)] for name in result.categories} or {AS_TRAINED: [result]}
    return mean_level_metrics(parts)


def mean_level_metrics(parts: Mapping[str, Sequence[EvaluationResult]]) -> LevelMetrics:
    """The means over several policies, as far as a metric is known of them.

    Args:
        parts: by category, the results of the same policies in the same order, all of the same episodes.

    Raises:
        DataError: the environment does not tell success.
    """
    results = [result for each in parts.values() for result in each]
    causes, limited = _causes_in(results), all(map(_is_limited, results))
    ratios = {
        name: [_ratios(result, causes, limited=limited) for result in each] for name, each in parts.items()
    }
    metrics = [*dict.fromkeys(metric for each in ratios.values() for ratio in each for metric in ratio)]
    drawn = {
        name: [_Drawn(ratio, metrics, stratum) for ratio in ratios[name]]
        for stratum, name in enumerate(parts)
    }
    pooled = [drawn[name] for name in parts if name != AS_TRAINED] or [*drawn.values()]
    return LevelMetrics(
        categories={name: _estimates(metrics, [each], _micro([each])) for name, each in drawn.items()},
        micro=_estimates(metrics, pooled, _micro(pooled)),
        macro=_estimates(metrics, pooled, _macro(pooled)),
    )


def step_limits(result: EvaluationResult) -> _Values:
    """M of each episode, (episodes,): the lower of the evaluation's limit and the environment's.

    The environment tells it in ``info`` as ``max_steps``, or has an option of that name; NaN without any.
    """
    option = result.env.config.get("max_steps")
    limits = [np.full(result.episodes, limit, np.float64) for limit in (result.max_steps, option) if limit]
    if STEP_LIMIT in result.metrics:
        limits.append(result.values(STEP_LIMIT))
    lowest: _Values = np.fmin.reduce([np.full(result.episodes, np.nan), *limits])
    return lowest


def failure_causes(result: EvaluationResult) -> list[str | None]:
    """Why each episode failed, one of ``CAUSES`` or ``OTHER``; None of those that did not.

    Raises:
        DataError: the environment does not tell success.
    """
    told = [(cause, result.values(cause) == 1) for cause in CAUSES if cause in result.metrics]
    return [
        next((cause for cause, holds in told if holds[episode]), OTHER) if success == 0 else None
        for episode, success in enumerate(result.values(SUCCESS))
    ]


def _is_limited(result: EvaluationResult) -> bool:
    """Whether the step limit is known of any episode."""
    return not bool(np.isnan(step_limits(result)).all())


def _causes_in(results: Sequence[EvaluationResult]) -> list[str]:
    """The causes that the environment tells; ``OTHER`` where there are failures without one."""
    told = [cause for cause in CAUSES if any(cause in result.metrics for result in results)]
    return [*told, OTHER] if any(OTHER in failure_causes(result) for result in results) else told


def _ratios(result: EvaluationResult, causes: list[str], *, limited: bool) -> _Ratios:
    """The metrics of one category."""
    success, length = result.values(SUCCESS), result.values(LENGTH)
    told = ~np.isnan(success)
    ratios = {
        "success_rate": _mean(success, told),
        "steps": _mean(length),
        "return": _mean(result.values(RETURN)),
    }
    if limited:
        # One of which the steps or the limit are not known raised, or was cut: it counts with its limit.
        used = np.nan_to_num(np.fmin(length / step_limits(result), 1.0), nan=1.0)
        ratios["efficiency"] = (np.where(told, success, 0.0), np.where(told, used, 0.0))
    if OPTIMAL_STEPS in result.metrics:
        shortest = np.where(success == 1, result.values(OPTIMAL_STEPS), np.nan)
        # What did not succeed counts 0, whether or not the shortest way is known.
        ratios["spl"] = _mean(np.where(success == 0, 0.0, shortest / np.fmax(length, shortest)))
        ratios["path_optimality"] = _mean(shortest / length)
    if DEATH in result.metrics:
        ratios["safety"] = _mean(np.nan_to_num(result.values(DEATH)))
    found = failure_causes(result)
    for cause in causes:
        ratios[f"{FAILED_BY}{cause}"] = _mean(np.array([float(each == cause) for each in found]), told)
    return ratios


def _mean(values: _Values, known: NDArray[np.bool_] | None = None) -> tuple[_Values, _Values]:
    """The mean of the values that are known."""
    known = ~np.isnan(values) if known is None else known
    return np.where(known, values, 0.0), known.astype(np.float64)


class _Drawn:
    """Means of one policy in one category: those of its episodes, and below them those of bootstrap draws.

    The draws are the same for all policies that played as many episodes of the category.

    Args:
        ratios: the metrics of its episodes.
        metrics: which of them, in order; one that there is not is known of no episode.
        stratum: the category's number.
    """

    def __init__(self, ratios: _Ratios, metrics: Sequence[str], stratum: int) -> None:
        self.episodes = len(next(iter(ratios.values()))[0])
        unknown = (np.zeros(self.episodes), np.zeros(self.episodes))
        columns = np.column_stack([side for metric in metrics for side in ratios.get(metric, unknown)])
        # Most metrics are relative to the same.
        distinct, place = np.unique(columns, axis=1, return_inverse=True)
        means = np.vstack([distinct.mean(axis=0), bootstrap_means(distinct, stratum=stratum)])[:, place]
        self.above, self.below = means[:, ::2], means[:, 1::2]
        """(1 + resamples, metrics) each."""
        self.known = columns[:, 1::2] > 0
        """(episodes, metrics)."""


_Policies = Sequence[_Drawn]
"""Of one category."""


def _micro(drawn: Sequence[_Policies]) -> _Values:
    """(1 + resamples, metrics)."""
    weights = [policies[0].episodes for policies in drawn]
    return _mean_of_known(
        [
            _ratio(
                np.average([each.above for each in of_one], axis=0, weights=weights),
                np.average([each.below for each in of_one], axis=0, weights=weights),
            )
            for of_one in zip(*drawn, strict=True)
        ]
    )


def _macro(drawn: Sequence[_Policies]) -> _Values:
    """(1 + resamples, metrics)."""
    # A category in which nothing succeeded has no path.
    return _mean_of_known(
        [
            _mean_of_known([_ratio(each.above, each.below) for each in of_one])
            for of_one in zip(*drawn, strict=True)
        ]
    )


def _mean_of_known(arrays: Sequence[_Values]) -> _Values:
    values = np.array(arrays)
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))


def _ratio(above: _Values, below: NDArray[Any]) -> _Values:
    ratio: _Values = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return ratio


def _estimates(metrics: Sequence[str], drawn: Sequence[_Policies], values: _Values) -> dict[str, Estimate]:
    """Estimates of values (1 + resamples, metrics), whose first row is what was found."""
    has_interval = all(policies[0].episodes > 1 for policies in drawn)
    known = np.concatenate([np.any([each.known for each in policies], axis=0) for policies in drawn])
    estimates = {}
    for i, metric in enumerate(metrics):
        column = 1.0 - values[:, i] if metric in _COMPLEMENTS else values[:, i]
        value, draws = float(column[0]), column[1:][~np.isnan(column[1:])]
        if np.isnan(value):
            estimates[metric] = Estimate(value=None, low=None, high=None, n=0)
            continue
        low, high = percentile_interval(draws) if has_interval else (None, None)
        estimates[metric] = Estimate(value=value, low=low, high=high, n=int(known[:, i].sum()))
    return estimates


def macro_means(result: EvaluationResult, categories: Sequence[str]) -> dict[str, float]:
    """The macro metrics over some categories without their intervals, which take time; NaN where unknown.

    Args:
        result: of an environment that tells success.
        categories: those that it has, or ``as_trained`` of a result without categories.
    """
    parts = [result.within(name) if result.categories else result for name in categories]
    causes, limited = _causes_in([result]), all(map(_is_limited, parts))
    sums = [
        {
            name: (above.sum(), below.sum())
            for name, (above, below) in _ratios(part, causes, limited=limited).items()
        }
        for part in parts
    ]
    values = {}
    for metric in sums[0]:
        ratios = [above / below for above, below in (each[metric] for each in sums) if below > 0]
        mean = float(np.mean(ratios)) if ratios else float("nan")
        values[metric] = 1.0 - mean if metric in _COMPLEMENTS else mean
    return values
