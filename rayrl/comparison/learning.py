"""What trials scored while they trained, by the measure that their policies are scored by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.entrants import Entrant
from rayrl.comparison.measure import SHARE, Measure, return_scale
from rayrl.comparison.record import CurveSource, LearningCurves, Scale
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
    """By trial, of those that have two points at least."""
    record: LearningCurves
    """What they are of, and whose are missing."""

    @property
    def steps(self) -> tuple[float, float]:
        """The first and the last step over which all curves reach; NaN where there are none."""
        if not self.curves:
            return float("nan"), float("nan")
        steps = [steps for steps, _ in self.curves.values()]
        return max(float(each[0]) for each in steps), min(float(each[-1]) for each in steps)

    def sample_efficiency(self, trial: Trial) -> float:
        """The mean score over the steps that all curves have; NaN of a trial without one."""
        if trial.name not in self.curves:
            return float("nan")
        return mean_height(*self.curves[trial.name], *self.steps)


def learning_of(run: RunData, entrants: Sequence[Entrant], measure: Measure) -> Learning:
    """The curves of evaluations where any trial has them, else of recent episodes of training.

    They tell what policies are scored by and nothing else: success; the return on the scale of the
    environment as trained; or the return as it is. Trials whose curve does not tell it have none, and are
    named.
    """
    source: CurveSource = "training"
    if any(trial.evaluations for entrant in entrants for trial in entrant.trials):
        source = "evaluations"
    scale = {"success": SHARE, "score": return_scale(run, AS_TRAINED), "return": None}[measure.kind]
    curves = {}
    if scale is not None or measure.kind == "return":
        for trial in (trial for entrant in entrants for trial in entrant.trials):
            steps, scores = _scaled(_points(trial, measure, source), scale)
            if len(steps) > 1:
                curves[trial.name] = steps, scores
    missing = {
        entrant.label: tuple(trial.seed for trial in entrant.trials if trial.name not in curves)
        for entrant in entrants
    }
    missing = {label: seeds for label, seeds in missing.items() if seeds}
    return Learning(curves, LearningCurves(source=source, scale=scale, missing=missing))


def _points(trial: Trial, measure: Measure, source: CurveSource) -> Points:
    if source == "training":
        return trial.curve.known("step", "success_rate" if measure.kind == "success" else TRAINING_RETURN)
    return (success_curve_of if measure.kind == "success" else curve_of)(trial.evaluations)


def _scaled(points: Points, scale: Scale | None) -> Points:
    steps, scores = points
    return points if scale is None else (steps, (scores - scale.low) / (scale.high - scale.low))
