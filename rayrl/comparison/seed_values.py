"""What each training seed's trial has of each criterion; NaN where the run does not record it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.criteria import Criterion
from rayrl.comparison.decision import Values
from rayrl.comparison.entrants import Entrant
from rayrl.comparison.learning import Learning
from rayrl.evaluation.level_metrics import macro_means
from rayrl.evaluation.result import SUCCESS
from rayrl.report.run_data import COLD, RunData, Trial

_UNKNOWN = float("nan")
_MIB = 2**20


def values_of(run: RunData, entrants: Sequence[Entrant], tasks: Sequence[str], learning: Learning) -> Values:
    """Every criterion of every entrant, one number for each of its seeds."""
    of_trial: dict[Criterion, Callable[[Trial], float]] = {
        Criterion.efficiency: lambda trial: _level_metric(trial, tasks, "spl"),
        Criterion.safety: lambda trial: _level_metric(trial, tasks, "safety"),
        Criterion.sample_efficiency: learning.sample_efficiency,
        Criterion.wall_time: lambda trial: _wall_time(run, trial),
        Criterion.gpu_hours: lambda trial: _gpu_hours(run, trial),
        Criterion.parameters: lambda trial: _known(trial.policy.parameters if trial.policy else None),
        Criterion.latency: lambda trial: latency_ms(trial, "p50_ms"),
        Criterion.memory: _memory_mib,
    }
    values: dict[Criterion, Sequence[NDArray[np.float64]]] = {
        criterion: [np.array([value(trial) for trial in entrant.trials], np.float64) for entrant in entrants]
        for criterion, value in of_trial.items()
    }
    return {Criterion.success: [entrant.scores.mean(axis=1) for entrant in entrants], **values}


def mean_of(trials: Iterable[Trial], value: Callable[[Trial], float | None]) -> float | None:
    """The mean over the trials in which it is known; None where it is in none."""
    known = [number for trial in trials if not np.isnan(number := _known(value(trial)))]
    return float(np.mean(known)) if known else None


def latency_ms(trial: Trial, percentile: str) -> float:
    """Milliseconds of one decision; ``percentile`` is ``p50_ms`` or ``p99_ms``."""
    single = (each for each in trial.latency.batches if each.batch == 1) if trial.latency else ()
    return _known(getattr(next(iter(single), None), percentile, None))


def wall_time(trial: Trial) -> float:
    """Seconds of training by the clock."""
    seconds = trial.curve["seconds/total"]
    return float(np.nansum(seconds)) if np.isfinite(seconds).any() else _UNKNOWN


def _wall_time(run: RunData, trial: Trial) -> float:
    """The same with the seconds of the pretraining that it starts from."""
    if trial.condition == COLD:
        return wall_time(trial)
    pretraining = [
        _known(each.summary.seconds if each.summary else None)
        for each in run.pretraining
        if (each.architecture, each.seed) == (trial.architecture, trial.seed)
    ]
    return wall_time(trial) + sum(pretraining)


def _gpu_hours(run: RunData, trial: Trial) -> float:
    """As its manifest says, and none where the machines have no GPU; pretraining takes none."""
    if trial.costs.gpu_hours is not None:
        return trial.costs.gpu_hours
    return 0.0 if str(run.environment.hardware.get("GPUs")) == "0" else _UNKNOWN


def _memory_mib(trial: Trial) -> float:
    """The most that its processes are known to have had: the peak, or else the most at a chunk's end."""
    ends = [record.memory_bytes for record in trial.chunks if record.memory_bytes is not None]
    return _known(trial.costs.peak_memory_bytes or max(ends, default=None)) / _MIB


def _level_metric(trial: Trial, tasks: Sequence[str], metric: str) -> float:
    """The mean over tasks; unknown where the environment does not tell what it takes."""
    result = trial.evaluation
    if result is None or SUCCESS not in result.metrics:
        return _UNKNOWN
    return macro_means(result, tasks).get(metric, _UNKNOWN)


def _known(value: float | None) -> float:
    return _UNKNOWN if value is None else float(value)
