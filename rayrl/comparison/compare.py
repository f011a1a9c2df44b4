"""Holds the architectures and conditions of a run against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from rayrl.comparison.bootstrap import require_runs
from rayrl.comparison.candidates import candidates_of
from rayrl.comparison.criteria import Criterion
from rayrl.comparison.decide import decide
from rayrl.comparison.entrants import Entrant, entrants_of
from rayrl.comparison.learning import learning_of
from rayrl.comparison.measure import measure_of
from rayrl.comparison.options import CompareOptions
from rayrl.comparison.pairs import effects_of, pairs_of
from rayrl.comparison.recommendation import recommend
from rayrl.comparison.record import Comparison
from rayrl.comparison.seed_values import values_of
from rayrl.errors import DataError
from rayrl.evaluation.statistics import ENOUGH_RUNS
from rayrl.report.groups import groups_of
from rayrl.report.run_data import RunData
from rayrl.report.text import count


@lru_cache(maxsize=1)
def compare(run: RunData) -> Comparison | None:
    """What can be said of the run's architectures and conditions; None where there is but one to look at.

    The same run folder gives the same numbers: whatever is drawn comes from generators named by their use.

    Raises:
        ConfigError: ``compare`` in the run's ``config.json`` is not right.
    """
    options = CompareOptions.parse(run.config.get("compare") or {}, where="compare")
    measure = measure_of(run)
    entrants = entrants_of(run, measure)
    if len(entrants) < 2:
        return None
    learning = learning_of(run, [trial for entrant in entrants for trial in entrant.trials], measure)
    values = values_of(run, entrants, measure.tasks, learning)
    refused = _refusal(entrants)
    candidates = tuple(candidates_of(entrants, measure, values, intervals=refused is None))
    pairs = () if refused else tuple(pairs_of(entrants))
    unscaled = [Criterion.success] if measure.kind == "return" else []
    unscaled += [Criterion.sample_efficiency] if learning.unscaled else []
    found = Comparison(
        measure=measure.kind,
        tasks=measure.tasks,
        scales=dict(measure.scales),
        refused=refused,
        warnings=tuple(_warnings(run, entrants, refused)),
        candidates=candidates,
        pairs=pairs,
        effects=() if refused else tuple(effects_of(entrants, values)),
        decision=decide(values, candidates, pairs, options.weights, unscaled),
    )
    return found.model_copy(update={"recommendation": tuple(recommend(found))})


def _refusal(entrants: Sequence[Entrant]) -> str | None:
    """Why there are no statistics over seeds, if there are none."""
    for entrant in entrants:
        try:
            require_runs(len(entrant.trials), where=entrant.label)
        except DataError as error:
            return f"{entrant.label}: {error.message}; {error.remedy}."
    return None


def _warnings(run: RunData, entrants: Sequence[Entrant], refused: str | None) -> Iterator[str]:
    fewest = min(len(entrant.trials) for entrant in entrants)
    if refused is None and fewest < ENOUGH_RUNS:
        yield (
            f"{count(fewest, 'training seed')}: intervals over so few are too narrow, and another run may "
            f"turn out differently. From {ENOUGH_RUNS} on they are worth something."
        )
    counted = {entrant.label: entrant.seeds for entrant in entrants}
    for group in groups_of(run):
        missing = [trial.seed for trial in group.trials if trial.seed not in counted.get(group.label, ())]
        if missing:
            seeds = ", ".join(map(str, missing))
            yield f"{group.label}: without results that can be compared, and so left out: seed {seeds}."
