"""Whether a warm start paid off: warm against cold trials of the same seed, at equal steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rayrl.evaluation.comparison import are_paired
from rayrl.evaluation.result import RETURN
from rayrl.evaluation.statistics import Estimate, mean_over_runs
from rayrl.report.curves import Curve
from rayrl.report.run_data import COLD, WARM, RunData, Trial

TRAINING_RETURN = "episode_return_mean"


@dataclass(frozen=True, slots=True)
class WarmStart:
    """Warm minus cold, over training seeds; positive is better."""

    architecture: str
    step: int | None
    """At which ``final`` compares; None where no pair of trials ended at the same step."""
    final: Estimate
    """Difference of the mean returns in evaluation, after training."""
    better: int
    """In how many of those seeds the warm policy returned more."""
    throughout: Estimate
    """Difference of the training returns, averaged over all steps that both trials of a seed have."""


def warm_starts(run: RunData) -> list[WarmStart]:
    """One comparison for each architecture that was trained both ways."""
    if not {COLD, WARM} <= set(run.experiment.conditions):
        return []
    return [_compare(run, architecture) for architecture in run.experiment.architectures]


def _compare(run: RunData, architecture: str) -> WarmStart:
    pairs = list(pairs_of(run, architecture))
    evaluated = [(cold, warm) for cold, warm in pairs if _equally_evaluated(cold, warm)]
    final = [_return(warm) - _return(cold) for cold, warm in evaluated]
    throughout = [curve_difference(warm.curve, cold.curve) for cold, warm in pairs]
    steps = [cold.state.step for cold, _ in evaluated if cold.state is not None]
    return WarmStart(
        architecture=architecture,
        step=max(steps, default=None),
        final=mean_over_runs(final),
        better=sum(difference > 0 for difference in final),
        throughout=mean_over_runs(throughout),
    )


def curve_difference(a: Curve, b: Curve) -> float:
    """The mean of a − b over the steps that both have; NaN where they have none in common.

    ∫ (a − b) ds / (s₁ − s₀), by the trapezoidal rule over the points of both.
    """
    (x_a, y_a), (x_b, y_b) = a.known("step", TRAINING_RETURN), b.known("step", TRAINING_RETURN)
    if not len(x_a) or not len(x_b):
        return float("nan")
    start, end = max(x_a[0], x_b[0]), min(x_a[-1], x_b[-1])
    if start >= end:
        return float("nan")
    inner = np.concatenate([x_a, x_b])
    points = np.unique(np.concatenate([[start, end], inner[(inner > start) & (inner < end)]]))
    difference = np.interp(points, x_a, y_a) - np.interp(points, x_b, y_b)
    return float(np.trapezoid(difference, points) / (end - start))


def pairs_of(run: RunData, architecture: str, condition: str = WARM) -> Iterator[tuple[Trial, Trial]]:
    """The cold trial of each seed, and the one under a condition that starts from a policy."""
    trials = {
        (trial.condition, trial.seed): trial for trial in run.trials if trial.architecture == architecture
    }
    for seed in run.experiment.seeds:
        yield trials[COLD, seed], trials[condition, seed]


def _equally_evaluated(cold: Trial, warm: Trial) -> bool:
    if cold.as_trained is None or warm.as_trained is None or cold.state is None or warm.state is None:
        return False
    return cold.state.step == warm.state.step and are_paired([cold.as_trained, warm.as_trained])


def _return(trial: Trial) -> float:
    assert trial.as_trained is not None, "only evaluated trials are compared"
    return float(trial.as_trained.values(RETURN).mean())
