"""The decision over a run's candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rayrl.comparison.criteria import COSTS, Criterion
from rayrl.comparison.decision import (
    Values,
    known_criteria,
    pareto_front,
    ranks,
    share_of_firsts,
    totals,
    utility,
)
from rayrl.comparison.options import Weights
from rayrl.comparison.record import Candidate, Decision, Front, Standing
from rayrl.config.seeding import Role, generator

_RANK = 20
"""What its random numbers are named by."""


def decide(
    values: Values,
    candidates: Sequence[Candidate],
    weights: Weights,
    unscaled: Sequence[Criterion],
) -> Decision:
    """Weighs the candidates.

    Args:
        values: of each criterion, in the order of the candidates.
        candidates: who is weighed. Those with too few seeds for statistics have no share of firsts.
        weights: what counts for how much.
        unscaled: the qualities that have no scale of their own.
    """
    known = known_criteria(values)
    counted = {name: weights.of(name) for name in known if weights.of(name)}
    means = {name: np.array([np.nanmean(each) for each in values[name]]) for name in known}
    utilities = {name: utility(name, means[name], unscaled=name in unscaled) for name in counted}
    total = totals(utilities, counted) if counted else np.ones(len(candidates))
    firsts = _firsts({name: values[name] for name in counted}, candidates, counted, unscaled)
    standings = [
        Standing(
            label=candidate.label,
            utilities={name: float(each[i]) for name, each in utilities.items()},
            total=float(total[i]),
            rank=rank,
            first=firsts.get(i),
        )
        for i, (candidate, rank) in enumerate(zip(candidates, ranks(total), strict=True))
    ]
    return Decision(
        weights=counted,
        unknown=tuple(name for name in Criterion if weights.of(name) and name not in known),
        standings=tuple(sorted(standings, key=lambda standing: standing.rank)),
        front=_labels(candidates, _beaten_by_none([*counted], means)) if counted else (),
        fronts=tuple(_fronts(candidates, means)),
    )


def _firsts(
    values: Values,
    candidates: Sequence[Candidate],
    weights: Mapping[Criterion, float],
    unscaled: Sequence[Criterion],
) -> dict[int, float]:
    """How often each comes first, by index, of those with seeds enough; empty where there are not two."""
    drawn = [i for i, candidate in enumerate(candidates) if candidate.has_statistics]
    if len(drawn) < 2 or not weights:
        return {}
    shares = share_of_firsts(
        {name: [each[i] for i in drawn] for name, each in values.items()},
        weights,
        unscaled=unscaled,
        random=generator(0, Role.comparison, rank=_RANK),
    )
    return dict(zip(drawn, shares.tolist(), strict=True))


def _fronts(candidates: Sequence[Candidate], means: Mapping[Criterion, np.ndarray]) -> Iterator[Front]:
    """The Pareto front of quality against each cost that is known and tells candidates apart."""
    for cost in COSTS:
        if cost in means and len({*means[cost].tolist()}) > 1:
            front = _beaten_by_none([Criterion.success, cost], means)
            yield Front(cost=cost, labels=_labels(candidates, front))


def _beaten_by_none(criteria: Sequence[Criterion], means: Mapping[Criterion, np.ndarray]) -> list[int]:
    return pareto_front(np.column_stack([-means[name] if name.is_cost else means[name] for name in criteria]))


def _labels(candidates: Sequence[Candidate], indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(candidates[i].label for i in indices)
