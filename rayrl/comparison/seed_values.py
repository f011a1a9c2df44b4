"""What each training seed's trial has of each criterion; NaN where the run does not record it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.criteria import Criterion
from rayrl.comparison.decision import Values
from rayrl.comparison.entrants import Entrant
from rayrl.comparison.learning import Learning
from rayrl.evaluation.result import LENGTH, SUCCESS, EvaluationResult
from rayrl.report.run_data import COLD, RunData, Trial, of_category

_DEATH, _OPTIMAL = "death", "optimal_steps"
_UNKNOWN = float("nan")
_MIB = 2**20
_S_PER_H = 3600.0


def values_of(run: RunData, entrants: Sequence[Entrant], tasks: Sequence[str], learning: Learning) -> Values:
    """Every criterion of every entrant, one number for each of its seeds."""
    of_trial: dict[Criterion, Callable[[Trial], float]] = {
        Criterion.efficiency: lambda trial: _over_tasks(trial, tasks, _efficiency),
        Criterion.safety: lambda trial: _over_tasks(trial, tasks, _safety),
        Criterion.sample_efficiency: learning.sample_efficiency,
        Criterion.wall_time: lambda trial: _wall_time(run, trial),
        Criterion.gpu_hours: lambda trial: _gpus(run, trial) * _wall_time(run, trial) / _S_PER_H,
        Criterion.parameters: lambda trial: _known(trial.policy and trial.policy.parameters),
        Criterion.latency: lambda trial: latency_ms(trial, "p50_ms"),
        Criterion.memory: _memory_mib,
    }
    values: dict[Criterion, Sequence[NDArray[np.float64]]] = {
        criterion: [np.array([value(trial) for trial in entrant.trials], np.float64) for entrant in entrants]
        for criterion, value in of_trial.items()
    }
    return {Criterion.success: [entrant.scores_NM.mean(axis=1) for entrant in entrants], **values}


def mean_of(trials: Iterable[Trial], value: Callable[[Trial], float | None]) -> float | None:
    """The mean over the trials in which it is known; None where it is in none."""
    known = [number for trial in trials if not np.isnan(number := _known(value(trial)))]
    return float(np.mean(known)) if known else None


def latency_ms(trial: Trial, percentile: str) -> float:
    """Milliseconds of one decision; ``percentile`` is ``p50_ms`` or ``p99_ms``."""
    batch = trial.latency.batches.get(1) if trial.latency else None
    return _known(getattr(batch, percentile, None))


def wall_time(trial: Trial) -> float:
    """Seconds of training by the clock."""
    if trial.costs.seconds is not None:
        return trial.costs.seconds
    seconds = trial.curve["seconds/total"]
    return float(np.nansum(seconds)) if np.isfinite(seconds).any() else _UNKNOWN


def _wall_time(run: RunData, trial: Trial) -> float:
    """The same with the seconds of the pretraining that it starts from."""
    if trial.condition == COLD:
        return wall_time(trial)
    summaries = [
        each.summary
        for each in run.pretraining
        if (each.architecture, each.seed) == (trial.architecture, trial.seed)
    ]
    return wall_time(trial) + sum(_known(summary and summary.seconds) for summary in summaries)


def _gpus(run: RunData, trial: Trial) -> float:
    """GPUs that it held: as its manifest says, and none where the machines have none."""
    if trial.costs.gpus is not None:
        return trial.costs.gpus
    return 0.0 if str(run.environment.hardware.get("GPUs")) == "0" else _UNKNOWN


def _memory_mib(trial: Trial) -> float:
    """The most that its processes are known to have had: the peak, or else the most at a chunk's end."""
    ends = [record.memory_bytes for record in trial.chunks if record.memory_bytes is not None]
    return _known(trial.costs.peak_memory_bytes or max(ends, default=None)) / _MIB


def _over_tasks(trial: Trial, tasks: Sequence[str], value: Callable[[EvaluationResult], float]) -> float:
    """The mean over tasks; unknown where it is of one of them."""
    parts = [of_category(trial.evaluation, task) for task in tasks] if trial.evaluation else []
    return (
        float(np.mean([_UNKNOWN if part is None else value(part) for part in parts])) if parts else _UNKNOWN
    )


def _efficiency(result: EvaluationResult) -> float:
    if not {SUCCESS, _OPTIMAL} <= result.metrics.keys():
        return _UNKNOWN
    success, length, optimal = (result.values(name) for name in (SUCCESS, LENGTH, _OPTIMAL))
    return float(np.nanmean(success * optimal / np.maximum(length, optimal)))


def _safety(result: EvaluationResult) -> float:
    return 1.0 - float(np.nanmean(result.values(_DEATH))) if _DEATH in result.metrics else _UNKNOWN


def _known(value: float | None) -> float:
    return _UNKNOWN if value is None else float(value)
