"""What to know before one relies on a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.comparison.criteria import Criterion
from rayrl.comparison.entrants import Entrant
from rayrl.comparison.learning import Learning
from rayrl.comparison.measure import Measure, tells_success
from rayrl.comparison.quantities import in_prose
from rayrl.evaluation.statistics import ENOUGH_RUNS, FEWEST_RUNS
from rayrl.report.groups import groups_of
from rayrl.report.run_data import RANDOM, RunData
from rayrl.report.text import count, listed


def warnings_of(
    run: RunData, entrants: Sequence[Entrant], measure: Measure, learning: Learning
) -> Iterator[str]:
    """Sentences: who has too few training seeds or few, which were left out, and whose curves are missing."""
    yield from _without_success(run, measure)
    yield from _without_statistics(run, entrants)
    yield from _few(entrants)
    counted = {entrant.label: entrant.seeds for entrant in entrants}
    for group in groups_of(run):
        missing = [trial.seed for trial in group.trials if trial.seed not in counted.get(group.label, ())]
        if missing:
            seeds = ", ".join(map(str, missing))
            yield f"{group.label}: without results that can be compared, and so left out: seed {seeds}."
    yield from _without_curves(measure, learning)


def _without_success(run: RunData, measure: Measure) -> Iterator[str]:
    """Who keeps policies from being compared by success, where others' episodes tell it."""
    evaluated = [trial for trial in run.trials if trial.evaluation is not None]
    silent = [trial for trial in evaluated if not tells_success(trial, measure.tasks)]
    if silent and len(silent) < len(evaluated):
        seeds = {
            group.label: [trial.seed for trial in group.trials if trial in silent] for group in groups_of(run)
        }
        names = [f"{in_prose(label)}, seed {listed([*map(str, of)])}" for label, of in seeds.items() if of]
        yield (
            f"Policies are compared by {measure.kind}, since success is not known of all: in some category a "
            f"limit cut every episode of {'; '.join(names)}. Raise evaluate.max_steps, or let the "
            "environment declare final_info."
        )


def _without_statistics(run: RunData, entrants: Sequence[Entrant]) -> Iterator[str]:
    if len(run.experiment.seeds) < FEWEST_RUNS:
        remedy = f"Add seeds to the experiment, {ENOUGH_RUNS} or more; what has been trained is kept."
    else:
        remedy = (
            "Mend what keeps other seeds from results and run the same command again; what has been trained "
            "is kept."
        )
    for runs in range(1, FEWEST_RUNS):
        names = [in_prose(entrant.label) for entrant in entrants if len(entrant.trials) == runs]
        if names:
            yield (
                f"{listed(names)}: {count(runs, 'training seed')} with results; statistics over seeds need "
                f"at least {FEWEST_RUNS}, so there are no intervals and no probabilities of improvement. "
                + remedy
            )


def _without_curves(measure: Measure, learning: Learning) -> Iterator[str]:
    """Why sample efficiency is not known of somebody, or of anybody."""
    record = learning.record
    name = Criterion.sample_efficiency.words
    told = {
        "evaluations": "evaluations in the course of training",
        "training": "recent episodes of training",
    }[record.source]
    start, end = learning.steps
    if measure.kind == "score" and record.scale is None:
        yield (
            f"The {name} is not known: {RANDOM} actions and the reference make no scale of the environment "
            "as trained, so learning curves of returns have no score."
        )
    elif not learning.curves:
        yield f"The {name} is not known: no trial's {told} tell the {measure.kind} at two steps or more."
    elif start >= end:
        yield f"The {name} is not known: there are no steps over which all learning curves reach."
    else:
        left_out = [
            f"{in_prose(label)} ({'seed' if len(seeds) == 1 else 'seeds'} {listed([*map(str, seeds)])})"
            for label, seeds in record.missing.items()
        ]
        if left_out:
            yield (
                f"Left out of the {name}, since their {told} do not tell the {measure.kind} at two steps or "
                f"more: {listed(left_out)}."
            )


def _few(entrants: Sequence[Entrant]) -> Iterator[str]:
    few = [entrant for entrant in entrants if FEWEST_RUNS <= len(entrant.trials) < ENOUGH_RUNS]
    for runs in sorted({len(entrant.trials) for entrant in few}):
        names = [in_prose(entrant.label) for entrant in few if len(entrant.trials) == runs]
        who = "" if len(names) == len(entrants) else f"{listed(names)}: "
        yield (
            f"{who}{count(runs, 'training seed')}: intervals over so few are too narrow, and differences may "
            f"be chance. From {ENOUGH_RUNS} on both are worth something."
        )
