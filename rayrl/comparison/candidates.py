"""Candidates in numbers: aggregates of their scores, and what else is weighed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.comparison.aggregates import AGGREGATES
from rayrl.comparison.bootstrap import interval
from rayrl.comparison.decision import Values
from rayrl.comparison.entrants import Entrant
from rayrl.comparison.measure import Measure
from rayrl.comparison.record import Candidate
from rayrl.comparison.seed_values import latency_ms, mean_of
from rayrl.config.seeding import Role, generator
from rayrl.evaluation.statistics import Estimate, mean_over_runs


def candidates_of(entrants: Sequence[Entrant], measure: Measure, values: Values) -> Iterator[Candidate]:
    """The record of each entrant, with intervals where it has seeds enough for them.

    Args:
        entrants: who is compared.
        measure: what they are scored by.
        values: of each criterion.
    """
    for index, entrant in enumerate(entrants):
        criteria = {name: mean_over_runs(each[index].tolist()) for name, each in values.items()}
        # What a trial cost is known as it is: there is nothing to infer.
        bare = [name for name in criteria if name.is_cost or not entrant.has_statistics]
        yield Candidate(
            label=entrant.label,
            architecture=entrant.group.architecture,
            condition=entrant.group.condition,
            style=entrant.group.style,
            seeds=entrant.seeds,
            left_out=entrant.left_out,
            scores={
                task: tuple(entrant.scores[:, column].tolist()) for column, task in enumerate(measure.tasks)
            },
            **_aggregates(entrant, index, measure),
            criteria=criteria | {name: _bare(criteria[name]) for name in bare},
            flops=mean_of(entrant.trials, lambda trial: trial.policy.flops if trial.policy else None),
            latency_p99=mean_of(entrant.trials, lambda trial: latency_ms(trial, "p99_ms")),
            steps=mean_of(entrant.trials, lambda trial: trial.state.step if trial.state else None),
        )


def _aggregates(entrant: Entrant, index: int, measure: Measure) -> dict[str, Estimate]:
    found = {}
    for rank, (name, aggregate) in enumerate(AGGREGATES.items()):
        if name == "optimality_gap" and measure.kind == "return":
            # A return of 1 is not what is optimal.
            found[name] = Estimate(value=None, low=None, high=None, n=0)
        elif entrant.has_statistics:
            random = generator(0, Role.comparison, rank=rank, iteration=index)
            found[name] = interval(aggregate, entrant.scores, random=random)
        else:
            value = float(aggregate(entrant.scores))
            found[name] = Estimate(value=value, low=None, high=None, n=len(entrant.trials))
    return found


def _bare(estimate: Estimate) -> Estimate:
    return estimate.model_copy(update={"low": None, "high": None})
