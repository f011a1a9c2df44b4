"""What policies are scored by, and in which tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.record import MeasureKind, Scale
from rayrl.evaluation.comparison import are_paired
from rayrl.evaluation.result import RETURN, SUCCESS, EvaluationResult
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.outcomes import categories_in
from rayrl.report.run_data import RANDOM, RunData, Trial, of_category

SHARE = Scale(low=0.0, high=1.0, low_from="no episode succeeds", high_from="every episode does")


@dataclass(frozen=True, slots=True)
class Measure:
    """How an evaluation becomes one score for each task."""

    kind: MeasureKind
    tasks: tuple[str, ...]
    scales: Mapping[str, Scale]
    """By task; empty where returns stand as they are."""

    def scores(self, trial: Trial) -> NDArray[np.float64] | None:
        """``(M,)``, the scores of a trial's policy; None where a task was not played."""
        parts = [_within(trial.evaluation, task) for task in self.tasks]
        if not all(part is not None and self._metric in part.metrics for part in parts):
            return None
        return np.array(
            [self._score(part, task) for part, task in zip(parts, self.tasks, strict=True) if part]
        )

    @property
    def _metric(self) -> str:
        return SUCCESS if self.kind == "success" else RETURN

    def _score(self, result: EvaluationResult, task: str) -> float:
        value = float(np.nanmean(result.values(self._metric)))
        scale = self.scales.get(task)
        return value if scale is None else (value - scale.low) / (scale.high - scale.low)


def tasks_of(run: RunData) -> tuple[str, ...]:
    """The suite's categories where the evaluation has a suite, else all, the environment as trained first."""
    further = tuple(categories_in(run))
    suite = (run.config.get("evaluate") or {}).get("suite")
    return further if suite and further else (AS_TRAINED, *further)


def measure_of(run: RunData) -> Measure:
    """The measure that all trials of a run can be held to.

    Success where the environment tells it; else the return between that of random actions and that of the
    reference, where the reference is better in every task; else the return.
    """
    tasks = tasks_of(run)
    evaluated = [trial for trial in run.trials if _parts(trial, tasks)]
    if evaluated and all(tells_success(trial, tasks) for trial in evaluated):
        return Measure("success", tasks, dict.fromkeys(tasks, SHARE))
    scales = {task: scale for task in tasks if (scale := return_scale(run, task))}
    return Measure("score", tasks, scales) if scales.keys() == {*tasks} else Measure("return", tasks, {})


def tells_success(trial: Trial, tasks: Sequence[str]) -> bool:
    """Whether the evaluation of a trial's policy knows of success in each task that it played."""
    return all(
        SUCCESS in part.metrics and bool(np.isfinite(part.values(SUCCESS)).any())
        for part in _parts(trial, tasks)
    )


def return_scale(run: RunData, task: str) -> Scale | None:
    """The mean returns of random actions and of the reference; None where they make no scale."""
    if run.reference is None or RANDOM not in run.demonstrators:
        return None
    low, high = (of_category(run.demonstrators[name], task) for name in (RANDOM, run.reference))
    played = next((part for trial in run.trials if (part := _within(trial.evaluation, task))), None)
    if low is None or high is None or played is None or not are_paired([played, low, high]):
        return None
    floor, ceiling = (float(result.values(RETURN).mean()) for result in (low, high))
    if not ceiling > floor:
        return None
    return Scale(low=floor, high=ceiling, low_from=RANDOM, high_from=run.reference)


def same_episodes(a: Trial, b: Trial, tasks: Sequence[str]) -> bool:
    """Whether two trials' policies played the same episodes of all tasks."""
    ours, theirs = _parts(a, tasks), _parts(b, tasks)
    return len(ours) == len(theirs) == len(tasks) and all(
        are_paired(pair) for pair in zip(ours, theirs, strict=True)
    )


def _parts(trial: Trial, tasks: Sequence[str]) -> list[EvaluationResult]:
    parts = (_within(trial.evaluation, task) for task in tasks)
    return [part for part in parts if part is not None]


def _within(result: EvaluationResult | None, task: str) -> EvaluationResult | None:
    return None if result is None else of_category(result, task)
