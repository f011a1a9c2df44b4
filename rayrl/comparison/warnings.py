"""What to know before one relies on a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.comparison.entrants import Entrant
from rayrl.comparison.quantities import in_prose
from rayrl.evaluation.statistics import ENOUGH_RUNS, FEWEST_RUNS
from rayrl.report.groups import groups_of
from rayrl.report.run_data import RunData
from rayrl.report.text import count, listed


def warnings_of(run: RunData, entrants: Sequence[Entrant]) -> Iterator[str]:
    """Sentences: who has too few training seeds or few, and which were left out."""
    yield from _without_statistics(run, entrants)
    yield from _few(entrants)
    counted = {entrant.label: entrant.seeds for entrant in entrants}
    for group in groups_of(run):
        missing = [trial.seed for trial in group.trials if trial.seed not in counted.get(group.label, ())]
        if missing:
            seeds = ", ".join(map(str, missing))
            yield f"{group.label}: without results that can be compared, and so left out: seed {seeds}."


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


def _few(entrants: Sequence[Entrant]) -> Iterator[str]:
    few = [entrant for entrant in entrants if FEWEST_RUNS <= len(entrant.trials) < ENOUGH_RUNS]
    for runs in sorted({len(entrant.trials) for entrant in few}):
        names = [in_prose(entrant.label) for entrant in few if len(entrant.trials) == runs]
        who = "" if len(names) == len(entrants) else f"{listed(names)}: "
        yield (
            f"{who}{count(runs, 'training seed')}: intervals over so few are too narrow, and differences may "
            f"be chance. From {ENOUGH_RUNS} on both are worth something."
        )
