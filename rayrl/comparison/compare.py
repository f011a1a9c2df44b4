"""Holds the architectures and conditions of a run against each other."""

from __future__ import annotations

from functools import lru_cache

from rayrl.comparison.candidates import candidates_of
from rayrl.comparison.criteria import Criterion
from rayrl.comparison.decide import decide
from rayrl.comparison.entrants import entrants_of
from rayrl.comparison.learning import learning_of
from rayrl.comparison.measure import measure_of
from rayrl.comparison.options import CompareOptions
from rayrl.comparison.pairs import effects_of, pairs_of
from rayrl.comparison.recommendation import recommend
from rayrl.comparison.record import Comparison
from rayrl.comparison.seed_values import values_of
from rayrl.comparison.warnings import warnings_of
from rayrl.report.run_data import RunData


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
    learning = learning_of(run, entrants, measure)
    values = values_of(run, entrants, measure.tasks, learning)
    candidates = tuple(candidates_of(entrants, measure, values))
    unscaled = [Criterion.success, Criterion.sample_efficiency] if measure.kind == "return" else []
    found = Comparison(
        measure=measure.kind,
        tasks=measure.tasks,
        scales=dict(measure.scales),
        learning=learning.record,
        warnings=tuple(warnings_of(run, entrants, measure, learning)),
        candidates=candidates,
        pairs=pairs_of(entrants),
        effects=tuple(effects_of(entrants, values)),
        decision=decide(values, candidates, options.weights, unscaled),
    )
    return found.model_copy(update={"recommendation": tuple(recommend(found))})
