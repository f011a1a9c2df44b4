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
from rayrl.comparison.record import Candidate, Decision, Front, Pair, Standing
from rayrl.config.seeding import Role, generator

_RANK = 20
"""What its random numbers are named by."""


def decide(
    values: Values,
    candidates: Sequence[Candidate],
    pairs: Sequence[Pair],
    weights: Weights,
    unscaled: Sequence[Criterion],
) -> Decision:
    """Weighs the candidates.

    Args:
        values: of each criterion, in the order of the candidates.
        candidates: who is weighed.
        pairs: each against each; none where there are too few seeds for statistics over them.
        weights: what counts for how much.
        unscaled: the qualities that have no scale of their own.
    """
    known = known_criteria(values)
    counted = {name: weights.of(name) for name in known if weights.of(name)}
    means = {name: np.array([np.nanmean(each) for each in values[name]]) for name in known}
    utilities = {name: utility(name, means[name], unscaled=name in unscaled) for name in counted}
    total = totals(utilities, counted) if counted else np.ones(len(candidates))
    firsts = (
        share_of_firsts(
            {name: values[name] for name in counted},
            counted,
            unscaled=unscaled,
            random=generator(0, Role.comparison, rank=_RANK),
        ).tolist()
        if pairs and counted
        else [None] * len(candidates)
    )
    standings = [
        Standing(
            label=candidate.label,
            utilities={name: float(each[i]) for name, each in utilities.items()},
            total=float(total[i]),
            rank=rank,
            first=firsts[i],
        )
        for i, (candidate, rank) in enumerate(zip(candidates, ranks(total), strict=True))
    ]
    return Decision(
        weights=counted,
        unknown=tuple(name for name in Criterion if weights.of(name) and name not in known),
        standings=tuple(sorted(standings, key=lambda standing: standing.rank)),
        fronts=tuple(_fronts(candidates, means)),
    )


def _fronts(candidates: Sequence[Candidate], means: Mapping[Criterion, np.ndarray]) -> Iterator[Front]:
    """The Pareto front of quality against each cost that is known and tells candidates apart."""
    quality = means[Criterion.success].tolist()
    for cost in COSTS:
        if cost in means and len({*means[cost].tolist()}) > 1:
            front = pareto_front(quality, means[cost].tolist())
            yield Front(cost=cost, labels=tuple(candidates[i].label for i in front))
