"""Steps to target: how much experience a warm start saves until training returns what is wanted.

A trial that has not reached the target when its training ends is right-censored: it needs at least as many
steps as it had. Nothing is known beyond the budget, so times are compared within it, by their restricted
means, the mean of min(T, τ) with τ the budget (Royston & Parmar 2013, "Restricted mean survival time",
BMC Medical Research Methodology 13:152). All trials that count were followed to the budget or to the target;
the mean needs no estimate of a survival curve then.

    saving = 1 − Σ min(T_warm, τ) / Σ min(T_cold, τ)

over training seeds in which both count, with Fieller's interval of a ratio of paired means. Steps that cold
trials would have needed beyond the budget do not count: where only they are censored, the saving is
understated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rayrl.evaluation.result import RETURN
from rayrl.evaluation.statistics import Estimate, mean_over_runs, ratio_over_runs
from rayrl.report.outcomes import outcomes_of
from rayrl.report.run_data import COLD, WARM, RunData, Trial
from rayrl.report.warm_start import TRAINING_RETURN, pairs_of

SCORE = 0.95
"""The score whose return is the target by default; random actions score 0, and the reference 1."""


@dataclass(frozen=True, slots=True)
class Target:
    """A return that training is to reach."""

    value: float
    reason: str | None = None
    """Why it is this number, in words; None where the experiment names it."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Environment steps of one trial until its training return was at the target."""

    steps: float
    """At least so many where it was not reached."""
    reached: bool


@dataclass(frozen=True, slots=True)
class StepsToTarget:
    """Cold against warm trials of the same seeds."""

    architecture: str
    seeds: tuple[int, ...]
    """Those in which both trials count."""
    cold: tuple[Steps, ...]
    """By seed, cut at the budget."""
    warm: tuple[Steps, ...]
    left_out: tuple[int, ...]
    """Seeds in which a trial ended before its budget, without reaching the target."""

    @property
    def saving(self) -> Estimate:
        """The share of the cold trials' steps that warm ones do without; negative where they need more."""
        ratio = ratio_over_runs(*([each.steps for each in group] for group in (self.warm, self.cold)))
        if ratio.value is None:
            return ratio
        low, high = (None if end is None else 1 - end for end in (ratio.high, ratio.low))
        return Estimate(value=1 - ratio.value, low=low, high=high, n=ratio.n)

    @property
    def reached(self) -> bool:
        """Whether any trial reached the target."""
        return any(each.reached for each in (*self.cold, *self.warm))


def mean_steps(steps: tuple[Steps, ...]) -> Estimate:
    """The restricted mean of one condition, with Student's t interval."""
    return mean_over_runs([each.steps for each in steps])


def target_of(run: RunData) -> Target | None:
    """``report.target``, or else the return at a score of 0.95; None where neither is known.

    What scores 1 returns as much as the reference does, which a policy that explores can seldom.
    """
    if run.experiment.report.target is not None:
        return Target(run.experiment.report.target)
    outcomes = outcomes_of(run)
    if outcomes.reference is None or outcomes.random is None:
        return None
    floor, ceiling = (float(row.values(RETURN).mean()) for row in (outcomes.random, outcomes.reference))
    if not ceiling > floor:
        return None
    value = floor + SCORE * (ceiling - floor)
    return Target(value, f"a score of {SCORE:g} against {outcomes.reference.label}")


def steps_to_target(run: RunData, target: Target) -> list[StepsToTarget]:
    """One comparison for each architecture that was trained both ways."""
    if not {COLD, WARM} <= set(run.experiment.conditions):
        return []
    return [_compare(run, architecture, target.value) for architecture in run.experiment.architectures]


def _compare(run: RunData, architecture: str, target: float) -> StepsToTarget:
    budget = run.experiment.train.total_steps
    found: dict[int, tuple[Steps, Steps]] = {}
    left_out = []
    for cold, warm in pairs_of(run, architecture):
        of_cold, of_warm = steps_until(cold, target, budget), steps_until(warm, target, budget)
        if of_cold is None or of_warm is None:
            left_out.append(cold.seed)
        else:
            found[cold.seed] = (of_cold, of_warm)
    return StepsToTarget(
        architecture=architecture,
        seeds=tuple(found),
        cold=tuple(cold for cold, _ in found.values()),
        warm=tuple(warm for _, warm in found.values()),
        left_out=tuple(left_out),
    )


def steps_until(trial: Trial, target: float, budget: float) -> Steps | None:
    """The step of the first iteration whose mean return is at the target; the budget where none is.

    None where the target is not reached and the training ended before the budget.
    """
    steps, returns = trial.curve.known("step", TRAINING_RETURN)
    at_target = np.flatnonzero(returns >= target)
    if len(at_target):
        return Steps(float(steps[at_target[0]]), reached=True)
    # The end of the last train batch, which may lie beyond the budget.
    last = float(trial.curve["step"][-1]) if len(trial.curve) else 0.0
    return Steps(last, reached=False) if last >= budget else None
