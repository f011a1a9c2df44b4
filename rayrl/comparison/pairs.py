"""Candidates in pairs: each against each, and with pretraining against without."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from rayrl.comparison.aggregates import Scores
from rayrl.comparison.bootstrap import interval
from rayrl.comparison.criteria import Criterion
from rayrl.comparison.decision import Values
from rayrl.comparison.entrants import Entrant
from rayrl.comparison.improvement import probability_of_improvement
from rayrl.comparison.record import Effect, Pair
from rayrl.comparison.significance import holm, welch
from rayrl.config.seeding import Role, generator
from rayrl.evaluation.statistics import ENOUGH_RUNS, FEWEST_RUNS, Estimate, mean_over_runs
from rayrl.report.run_data import COLD

_RESAMPLES = 2_000
"""Of each pair, of which there may be many."""
_PROBABILITY, _EFFECT = 10, 12
"""What the random numbers of each statistic are named by."""


def pairs_of(entrants: Sequence[Entrant]) -> tuple[Pair, ...]:
    """Each entrant against each that follows, of those with seeds enough for statistics.

    Whether they differ beyond chance is tested where both have ``ENOUGH_RUNS`` seeds, the p-values adjusted
    for the number of pairs that are tested.
    """
    counted = [entrant for entrant in entrants if entrant.has_statistics]
    pairs, p_values = [], []
    for number, (a, b) in enumerate(itertools.combinations(counted, 2)):
        difference, p_value = welch(a.scores.mean(axis=1), b.scores.mean(axis=1))
        probability = _probability(a.scores, b.scores, _PROBABILITY, number)
        pairs.append(Pair(a=a.label, b=b.label, probability=probability, difference=difference, p_value=None))
        p_values.append(p_value)
    tested = [i for i, pair in enumerate(pairs) if pair.difference.n >= ENOUGH_RUNS]
    for i, adjusted in zip(tested, holm([p_values[i] for i in tested]), strict=True):
        pairs[i] = pairs[i].model_copy(update={"p_value": adjusted})
    return tuple(pairs)


def effects_of(entrants: Sequence[Entrant], values: Values) -> Iterator[Effect]:
    """Each architecture's conditions that start from a policy, against starting from scratch.

    Only where enough training seeds count on both sides.
    """
    for number, (i, j) in enumerate(itertools.permutations(range(len(entrants)), 2)):
        cold, warm = entrants[i].group, entrants[j].group
        if cold.condition != COLD or warm.condition == COLD or cold.architecture != warm.architecture:
            continue
        seeds = [seed for seed in entrants[i].seeds if seed in entrants[j].seeds]
        if len(seeds) < FEWEST_RUNS:
            continue
        rows = [[entrants[k].seeds.index(seed) for seed in seeds] for k in (i, j)]
        gains = {
            criterion: mean_over_runs(
                (values[criterion][j][rows[1]] - values[criterion][i][rows[0]]).tolist()
            )
            for criterion in (Criterion.success, Criterion.sample_efficiency)
        }
        yield Effect(
            architecture=warm.architecture,
            condition=warm.condition,
            seeds=tuple(seeds),
            score=gains[Criterion.success],
            probability=_probability(
                entrants[j].scores[rows[1]], entrants[i].scores[rows[0]], _EFFECT, number
            ),
            sample_efficiency=gains[Criterion.sample_efficiency],
        )


def _probability(a: Scores, b: Scores, rank: int, number: int) -> Estimate:
    return interval(
        probability_of_improvement,
        a,
        b,
        random=generator(0, Role.comparison, rank=rank, iteration=number),
        resamples=_RESAMPLES,
    )
