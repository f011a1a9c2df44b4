"""What trials scored while they trained, in one way for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.measure import Measure, return_scale
from rayrl.comparison.record import Scale
from rayrl.comparison.sample_efficiency import mean_height
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.evaluations import curve_of, success_curve_of
from rayrl.report.run_data import RunData, Trial
from rayrl.report.warm_start import TRAINING_RETURN

Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Environment steps and scores, ``(n,)`` each."""


@dataclass(frozen=True, slots=True)
class Learning:
    """Learning curves that can be compared."""

    curves: Mapping[str, Points]
    """By trial."""
    unscaled: bool
    """Whether they are of returns as they are."""

    def sample_efficiency(self, trial: Trial) -> float:
        """The mean score over the steps that all trials have; NaN where there are none."""
        if not all(len(steps) for steps, _ in self.curves.values()):
            return float("nan")
        start = max(steps[0] for steps, _ in self.curves.values())
        end = min(steps[-1] for steps, _ in self.curves.values())
        return mean_height(*self.curves[trial.name], start, end)


def learning_of(run: RunData, trials: Sequence[Trial], measure: Measure) -> Learning:
    """The evaluations where all trials have them, else what training tells of its recent episodes.

    Success where policies are measured by it and all curves tell it, else returns, on the scale of the
    environment as trained where it has one.
    """
    evaluated = all(trial.evaluations for trial in trials)
    if measure.kind == "success":
        successes = {trial.name: _successes(trial, evaluated=evaluated) for trial in trials}
        if all(len(steps) for steps, _ in successes.values()):
            return Learning(successes, unscaled=False)
    scale = return_scale(run, AS_TRAINED)
    returns = {trial.name: _scaled(_returns(trial, evaluated=evaluated), scale) for trial in trials}
    return Learning(returns, unscaled=scale is None)


def _successes(trial: Trial, *, evaluated: bool) -> Points:
    return success_curve_of(trial.evaluations) if evaluated else trial.curve.known("step", "success_rate")


def _returns(trial: Trial, *, evaluated: bool) -> Points:
    return curve_of(trial.evaluations) if evaluated else trial.curve.known("step", TRAINING_RETURN)


def _scaled(points: Points, scale: Scale | None) -> Points:
    steps, returns = points
    return points if scale is None else (steps, (returns - scale.low) / (scale.high - scale.low))
