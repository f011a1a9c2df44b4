"""Paired comparisons of results that were played on the same episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rayrl.errors import DataError
from rayrl.evaluation.result import RETURN, EvaluationResult
from rayrl.evaluation.statistics import (
    Estimate,
    bootstrap_means,
    mean_over_episodes,
    percentile_interval,
)

_REMEDY = "evaluate both with the same environment, seed and number of episodes"


def are_paired(results: Sequence[EvaluationResult]) -> bool:
    """Whether all results were played on the same episodes."""
    return all(_episodes(result) == _episodes(results[0]) for result in results[1:])


def _episodes(result: EvaluationResult) -> tuple[object, ...]:
    categories = {name: _wherever_it_lies(changes) for name, changes in result.categories.items()}
    env = result.env.id, _wherever_it_lies(result.env.config)
    return env, result.seeds, categories, result.category, result.levels


def _wherever_it_lies(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options with digest and name of a file of levels, of which each run has a copy, instead of its path."""
    file = config.get("level_file")
    return {**config, "level_file": Path(file).parts[-2:]} if isinstance(file, str) else dict(config)


def on_common_episodes(results: Sequence[EvaluationResult]) -> list[EvaluationResult]:
    """The results of the first one's environment, cut down to the episodes that all of these have.

    Episode i has the same seed however many episodes follow, so a longer evaluation holds a shorter one.
    Results of another environment, or of several categories, stay as they are, as do all where no episode is
    common.
    """
    alike = [result.env == results[0].env and not result.categories for result in results]
    seeds = [set(result.seeds) for result, same in zip(results, alike, strict=True) if same]
    common = set.intersection(*seeds) if seeds else set()
    return [
        result.of_seeds(common) if common and same else result
        for result, same in zip(results, alike, strict=True)
    ]


def paired_values(results: Sequence[EvaluationResult], metric: str) -> NDArray[np.float64]:
    """One row per result, (len(results), episodes), columns being the same episodes.

    Raises:
        DataError: the results are of other environments or seeds, or lack the metric.
    """
    if not are_paired(results):
        raise DataError("the results are not of the same episodes", where="evaluation", remedy=_REMEDY)
    return np.stack([result.values(metric) for result in results])


def paired_difference(a: EvaluationResult, b: EvaluationResult, metric: str = RETURN) -> Estimate:
    """The mean of a − b over the episodes in which both are known, with its bootstrap interval.

    Raises:
        DataError: the results are not paired, or lack the metric.
    """
    of_a, of_b = paired_values([a, b], metric)
    return mean_over_episodes(of_a - of_b)


def normalized_score(
    result: EvaluationResult, *, random: EvaluationResult, reference: EvaluationResult
) -> Estimate:
    """How far a policy came from random actions (0) to the reference (1); it may come further.

    (mean return − mean return of random) / (mean return of the reference − mean return of random)

    Raises:
        DataError: the results are not paired, or the reference is no better than random actions.
    """
    return normalized_score_of(*paired_values([result, random, reference], RETURN))


def normalized_score_of(returns: ArrayLike, random: ArrayLike, reference: ArrayLike) -> Estimate:
    """``normalized_score`` of returns on the same episodes, each (episodes,).

    Episodes are resampled with all three returns together. There is no interval where the reference's lead
    over random actions might be none, for then the ratio may be anything.

    Raises:
        DataError: the reference is no better than random actions.
    """
    samples = np.column_stack([returns, random, reference])
    mean, floor, ceiling = samples.mean(axis=0)
    if not ceiling > floor:
        raise DataError(
            f"the reference's mean return {ceiling:g} is no better than that of random actions, {floor:g}",
            where="normalized score",
            remedy="choose another reference",
        )
    value = float((mean - floor) / (ceiling - floor))
    if len(samples) == 1:
        return Estimate(value=value, low=None, high=None, n=1)
    draws = bootstrap_means(samples)
    lead = draws[:, 2] - draws[:, 1]
    interval = percentile_interval((draws[:, 0] - draws[:, 1]) / lead) if lead.min() > 0 else (None, None)
    return Estimate(value=value, low=interval[0], high=interval[1], n=len(samples))


def share_weighted(scores: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """The mean score of a mix of demonstrators: Σ shareᵢ · scoreᵢ / Σ shareᵢ.

    Raises:
        DataError: a demonstrator with a share has no score.
    """
    missing = sorted(shares.keys() - scores.keys())
    if missing:
        raise DataError(f"no score of {', '.join(missing)}", where="share-weighted score")
    return sum(share * scores[name] for name, share in shares.items()) / sum(shares.values())
