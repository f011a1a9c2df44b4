"""Drops: evaluations in the course of training that lie below the one before it.

All evaluations of a run are of the same episodes, so each is paired with its trial's start, seed by seed and
episode by episode. Of m evaluations that are looked at, one is a drop where the upper end of the one-sided
interval of the mean difference is below 0, at a level that all m share (Bonferroni):

    mean d + t(1 − 0.05 / m, n − 1) · s / √n < 0

The chance to call any of them a drop, if none were, is then at most 5 %. Only those count that were trained
under the reference KL; trials of the ablation without it are looked at over the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from rayrl.report.run_data import COLD, WARM, RunData, Trial

LEVEL = 0.05
"""Chance of calling anything a drop where there is none."""
COEFFICIENT = "learner/curr_kl_ref_coeff"


@dataclass(frozen=True, slots=True)
class Difference:
    """One evaluation against the start."""

    step: int
    mean: float
    """Mean difference of the returns; negative is worse than the start."""
    bound: float
    """Upper end of its one-sided interval; the evaluation is a drop where it is below 0."""

    @property
    def is_drop(self) -> bool:
        """Whether it lies below the start."""
        return self.bound < 0


@dataclass(frozen=True, slots=True)
class Drops:
    """The evaluations of the trials under one condition."""

    architecture: str
    condition: str
    seeds: tuple[int, ...]
    start: float
    """Mean return before training."""
    pooled: tuple[Difference, ...]
    """By step, over the episodes of all seeds together."""
    single: tuple[tuple[Difference, ...], ...]
    """The same of each seed alone; the level is shared by the evaluations of all."""

    @property
    def lowest(self) -> Difference:
        """The evaluation that lies lowest."""
        return min(self.pooled, key=lambda each: each.mean)


def drops_of(run: RunData) -> list[Drops]:
    """The conditions that start from a policy, with evaluations while the reference KL was on."""
    found = []
    for architecture in run.experiment.architectures:
        steps = _held_steps(run, architecture)
        for condition in run.experiment.conditions:
            if condition != COLD and steps:
                found.append(_look(run, architecture, condition, steps))
    return [drops for drops in found if drops is not None]


def _trials(run: RunData, architecture: str, condition: str) -> list[Trial]:
    return [
        trial
        for trial in run.trials
        if (trial.architecture, trial.condition) == (architecture, condition) and trial.evaluations
    ]


def _held_steps(run: RunData, architecture: str) -> list[int]:
    """Steps after updates under the reference KL at which all held trials were evaluated."""
    common: set[int] | None = None
    for trial in _trials(run, architecture, WARM):
        steps, coefficients = trial.curve.known("step", COEFFICIENT)
        held = {int(step) for step in steps[coefficients > 0]}
        here = held & {each.step for each in trial.evaluations}
        common = here if common is None else common & here
    return sorted(common or ())


def _look(run: RunData, architecture: str, condition: str, steps: Sequence[int]) -> Drops | None:
    """None where not all of its trials have the start and those steps."""
    trials = _trials(run, architecture, condition)
    returns = [{each.step: each.returns for each in trial.evaluations} for trial in trials]
    if not trials or not all({0, *steps} <= each.keys() for each in returns):
        return None
    # differences_ESN: evaluations × seeds × episodes
    differences = np.array([[each[step] - each[0] for each in returns] for step in steps])
    m, n_seeds = len(steps), len(trials)
    return Drops(
        architecture=architecture,
        condition=condition,
        seeds=tuple(trial.seed for trial in trials),
        start=float(np.mean([each[0].mean() for each in returns])),
        pooled=tuple(
            _difference(step, values.ravel(), m) for step, values in zip(steps, differences, strict=True)
        ),
        single=tuple(
            tuple(
                _difference(step, values[seed], m * n_seeds)
                for step, values in zip(steps, differences, strict=True)
            )
            for seed in range(n_seeds)
        ),
    )


def _difference(step: int, values: NDArray[np.float64], looked_at: int) -> Difference:
    """The mean of paired differences, (n,), with its bound; where all are alike, they are the bound."""
    n = len(values)
    error = values.std(ddof=1) / np.sqrt(n) if n > 1 else np.inf
    mean = float(values.mean())
    half = float(stdtrit(n - 1, 1 - LEVEL / looked_at) * error) if error > 0 else 0.0
    return Difference(step, mean, mean + half)
