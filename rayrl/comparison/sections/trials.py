"""Every trial: how far it came, how long it took, what it scored, and why it failed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import numpy as np

from rayrl.comparison.criteria import Criterion
from rayrl.comparison.measure import Measure, measure_of
from rayrl.comparison.quantities import quantity
from rayrl.comparison.seed_values import wall_time
from rayrl.report.html import element, join, table
from rayrl.report.records import ResourcesRecord, TrialCosts
from rayrl.report.run_data import RunData, Trial
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import NOTHING, duration

_CSV = "trials.csv"


def build(run: RunData) -> Sequence[Block]:
    """A row for each trial, in the order of the experiment."""
    measure = measure_of(run)
    peaks = {name: peak for name, peak in _PEAKS.items() if any(peak(run, trial) for trial in run.trials)}
    rows = []
    for trial in run.trials:
        state, seconds, score = trial.state, wall_time(trial), _score(trial, measure)
        rows.append(
            [
                trial.architecture,
                trial.condition,
                _state(run, trial),
                str(trial.seed),
                f"{state.step:,}" if state else NOTHING,
                NOTHING if np.isnan(seconds) else duration(seconds),
                quantity(Criterion.success, score, measure.kind),
                *(_in_gib(peak(run, trial)) for peak in peaks.values()),
            ]
        )
    header = ["architecture", "condition", "state", "seed", "steps", "wall time", measure.kind, *peaks]
    note = f"Wall time is that of training alone; the {measure.kind} is the mean over categories."
    return [table(header, rows, text_columns=3), element("p", note, class_="note")]


def _resources(run: RunData, trial: Trial) -> TrialCosts | ResourcesRecord:
    """What it took: as its manifest says, or else the record of its failure."""
    return next((each.resources for each in run.failures if each.name == _name(trial)), trial.costs)


_PEAKS: dict[str, Callable[[RunData, Trial], int | None]] = {
    "memory": lambda run, trial: _resources(run, trial).peak_memory_bytes,
    "GPU memory": lambda run, trial: _resources(run, trial).peak_gpu_memory_bytes,
}


def _in_gib(peak: int | None) -> str:
    return NOTHING if peak is None else f"{peak / 2**30:.2f} GiB"


def _name(trial: Trial) -> str:
    return f"{trial.architecture}-{trial.condition}-seed_{trial.seed}"


def _score(trial: Trial, measure: Measure) -> float | None:
    scores = measure.scores(trial)
    return None if scores is None else float(scores.mean())


def _state(run: RunData, trial: Trial) -> str:
    state = trial.state.state if trial.state else "not started"
    reason = _reason(run, trial)
    return join([state, element("small", reason)]) if reason else state


def _reason(run: RunData, trial: Trial) -> str | None:
    """Why it failed, or ended before its last step, or could not begin."""
    failures = [
        f"{each.kind.replace('_', ' ')}: {each.error}" for each in run.failures if each.name == _name(trial)
    ]
    state = (trial.state.error, trial.state.stop_reason) if trial.state else ()
    return next(iter(filter(None, [*failures, *state])), None)


def _to_csv(run: RunData) -> str:
    measure, text = measure_of(run), io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    header = ["architecture", "condition", "seed", "steps", "wall_time_s", measure.kind, "gpu_hours"]
    rows.writerow([*header, "peak_memory_bytes", "peak_gpu_memory_bytes", "state", "why"])
    for trial in run.trials:
        state, seconds = trial.state, wall_time(trial)
        rows.writerow(
            [
                trial.architecture,
                trial.condition,
                trial.seed,
                state.step if state else None,
                None if np.isnan(seconds) else seconds,
                _score(trial, measure),
                trial.costs.gpu_hours,
                *(peak(run, trial) for peak in _PEAKS.values()),
                state.state if state else None,
                _reason(run, trial),
            ]
        )
    return text.getvalue()


SECTION = Section(
    "trials",
    "Trials",
    48,
    lambda run: len(run.experiment.architectures) * len(run.experiment.conditions) > 1,
    build,
    files={_CSV: _to_csv},
)
