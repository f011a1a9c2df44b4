"""Steps to target: how much experience a warm start saves until training returns what is wanted.

Where trials are evaluated while they train, a trial is there at the first of two evaluations in a row whose
mean return is at the target; else at the first iteration in which the mean return of its recent episodes is.

A trial that has not reached the target when its training ends is right-censored: it needs at least as many
steps as it had. Nothing is known beyond the budget, so times are compared within it, by their restricted
means, the mean of min(T, τ) with τ the budget (Royston & Parmar 2013, "Restricted mean survival time",
BMC Medical Research Methodology 13:152). All trials that count were followed to the budget or to the target;
the mean needs no estimate of a survival curve then.

    saving = 1 − Σ min(T_warm, τ) / Σ min(T_cold, τ)

over training seeds in which both count, with Fieller's interval of a ratio of paired means. Steps that cold
trials would have needed beyond the budget do not count: where only they are censored, the saving is
understated. A warm trial that begins at the target shows nothing of training, and its seed does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rayrl.evaluation.result import RETURN, EvaluationResult
from rayrl.evaluation.statistics import Estimate, mean_over_runs, ratio_over_runs
from rayrl.report.evaluations import curve_of
from rayrl.report.outcomes import Outcome, outcomes_of
from rayrl.report.run_data import COLD, RunData, Trial
from rayrl.report.warm_start import TRAINING_RETURN, pairs_of

IN_A_ROW = 2
"""Evaluations at the target, one after the other, until a trial counts as there."""


@dataclass(frozen=True, slots=True)
class Target:
    """A return that is to be reached."""

    value: float
    reason: str | None = None
    """Why it is this number, in words; None where the experiment names it."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Environment steps of one trial until it was at the target."""

    steps: float
    """At least so many where it was not reached."""
    reached: bool


@dataclass(frozen=True, slots=True)
class StepsToTarget:
    """Cold against warm trials of the same seeds."""

    architecture: str
    condition: str
    """Of the warm trials."""
    seeds: tuple[int, ...]
    """Those in which both trials count."""
    cold: tuple[Steps, ...]
    """By seed, cut at the budget."""
    warm: tuple[Steps, ...]
    left_out: tuple[int, ...]
    """Seeds in which a trial ended before its budget, without reaching the target."""
    void: tuple[int, ...] = ()
    """Seeds in which the warm trial began at the target."""
    demonstrations: int | None = 0
    """Environment steps of the demonstrations that warm trials come from, the same for all; None where they
    are not known."""
    cloning: tuple[int | None, ...] = ()
    """Gradient steps of cloning, by seed; None where they are not recorded."""

    @property
    def saving(self) -> Estimate:
        """The share of the cold trials' steps that warm ones do without; negative where they need more."""
        return self._saving(0)

    @property
    def saving_with_demonstrations(self) -> Estimate:
        """The same where the steps of the demonstrations are added to those of each warm trial."""
        if self.demonstrations is None:
            return Estimate(value=None, low=None, high=None, n=len(self.seeds))
        return self._saving(self.demonstrations)

    def _saving(self, added: int) -> Estimate:
        ratio = ratio_over_runs(
            [each.steps + added for each in self.warm], [each.steps for each in self.cold]
        )
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


def is_evaluated(run: RunData) -> bool:
    """Whether trials are evaluated while they train."""
    return run.experiment.train.evaluate_every is not None


def target_of(run: RunData) -> Target | None:
    """``report.target``, or else the return at ``report.target_score``; None where neither is known.

    A score is of evaluation: where that plays the environment with other options, which may change its
    rewards, returns of training cannot be held against it.

    What scores 1 returns as much as the reference does, which a policy that explores can seldom.
    """
    options = run.experiment.report
    if options.target is not None:
        return Target(options.target)
    if run.experiment.evaluate.env_config and not is_evaluated(run):
        return None
    outcomes = outcomes_of(run)
    if outcomes.reference is None or outcomes.random is None:
        return None
    seeds = next((trial.evaluations[0].seeds for trial in run.trials if trial.evaluations), ())
    floor, ceiling = (_mean_return(row, seeds) for row in (outcomes.random, outcomes.reference))
    if not ceiling > floor:
        return None
    value = floor + options.target_score * (ceiling - floor)
    return Target(value, f"a score of {options.target_score:g} against {outcomes.reference.label}")


def _mean_return(row: Outcome, seeds: Sequence[int]) -> float:
    """On the episodes of the evaluations in training, where it was played on all of them, or else on all."""
    (result,) = row.results
    common: EvaluationResult = result.of_seeds(set(seeds)) if set(seeds) <= set(result.seeds) else result
    return float((common if seeds else result).values(RETURN).mean())


def steps_to_target(run: RunData, target: Target) -> list[StepsToTarget]:
    """One comparison for each architecture and each condition that starts from a policy, with cold trials."""
    experiment = run.experiment
    if COLD not in experiment.conditions:
        return []
    return [
        _compare(run, architecture, condition, target.value)
        for architecture in experiment.architectures
        for condition in experiment.conditions
        if condition != COLD
    ]


def _compare(run: RunData, architecture: str, condition: str, target: float) -> StepsToTarget:
    budget = run.experiment.train.total_steps
    found: dict[int, tuple[Steps, Steps]] = {}
    left_out, void = [], []
    for cold, warm in pairs_of(run, architecture, condition):
        of_cold, of_warm = steps_until(cold, target, budget), steps_until(warm, target, budget)
        if starts_at(warm, target):
            void.append(cold.seed)
        elif of_cold is None or of_warm is None:
            left_out.append(cold.seed)
        else:
            found[cold.seed] = (of_cold, of_warm)
    cloning = {each.seed: each.curve for each in run.pretraining if each.architecture == architecture}
    steps = {seed: curve["gradient_steps"].sum() for seed, curve in cloning.items() if len(curve)}
    return StepsToTarget(
        architecture=architecture,
        condition=condition,
        seeds=tuple(found),
        cold=tuple(cold for cold, _ in found.values()),
        warm=tuple(warm for _, warm in found.values()),
        left_out=tuple(left_out),
        void=tuple(void),
        demonstrations=run.demonstrated_steps,
        cloning=tuple(_known(steps.get(seed)) for seed in found),
    )


def _known(steps: float | None) -> int | None:
    return None if steps is None or np.isnan(steps) else int(steps)


def starts_at(trial: Trial, target: float) -> bool:
    """Whether a trial was at the target before its first step, as far as that was evaluated."""
    start = next((each for each in trial.evaluations if each.step == 0), None)
    return start is not None and start.mean >= target


def steps_until(trial: Trial, target: float, budget: float) -> Steps | None:
    """When a trial was at the target; the end of its training, at least the budget, where it never was.

    None where the target is not reached and the training ended before the budget.
    """
    in_a_row, (steps, returns) = 1, trial.curve.known("step", TRAINING_RETURN)
    if trial.evaluations:
        in_a_row, (steps, returns) = IN_A_ROW, curve_of(trial.evaluations)
    at_target = returns >= target
    for first in range(len(steps) - in_a_row + 1):
        if at_target[first : first + in_a_row].all():
            return Steps(float(steps[first]), reached=True)
    # The end of the last train batch, which may lie beyond the budget.
    last = float(trial.curve["step"][-1]) if len(trial.curve) else 0.0
    return Steps(last, reached=False) if last >= budget else None
