"""Where the time went: sampling, learning, and the rest, in each condition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rayrl.report.figures.chart import StackedBarChart
from rayrl.report.html import Html, element, table
from rayrl.report.outcomes import condition_label
from rayrl.report.run_data import RunData, Trial
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import duration, number

_PARTS = ("sampling", "learning", "other")


def build(run: RunData) -> Sequence[Block]:
    """A chart of seconds by condition, and a table with the pace."""
    groups = {
        condition_label(run, architecture, condition): trials
        for architecture in run.experiment.architectures
        for condition in run.experiment.conditions
        if (trials := _timed(run, architecture, condition))
    }
    chart = StackedBarChart(
        name="time",
        title="Time of a trial",
        description="Seconds that a trial spends sampling, learning and otherwise, the mean over seeds.",
        x_label="Seconds, mean over seeds",
        bars={label: _seconds(trials) for label, trials in groups.items()},
    )
    rows = [_row(label, trials) for label, trials in groups.items()]
    for architecture in run.experiment.architectures:
        spent = [p.summary.seconds for p in run.pretraining if p.architecture == architecture and p.summary]
        known = [seconds for seconds in spent if seconds is not None]
        if known:
            label = condition_label(run, architecture, "pretraining of one seed")
            rows.append([label, duration(float(np.mean(known))), *["–"] * 4])
    header = ["", "a trial takes", *(f"{part}" for part in _PARTS), "steps per second"]
    return [chart, table(header, rows), _note()]


def _timed(run: RunData, architecture: str, condition: str) -> list[Trial]:
    return [
        trial
        for trial in run.trials
        if (trial.architecture, trial.condition) == (architecture, condition)
        and np.isfinite(trial.curve["seconds/total"]).any()
    ]


def _seconds(trials: Sequence[Trial]) -> dict[str, float]:
    """Seconds of a trial by part, the mean over trials."""
    sampling, learning, total = (
        float(np.mean([np.nansum(trial.curve[f"seconds/{part}"]) for trial in trials]))
        for part in ("sample", "learn", "total")
    )
    return dict(zip(_PARTS, (sampling, learning, max(0.0, total - sampling - learning)), strict=True))


def _row(label: str, trials: Sequence[Trial]) -> list[str]:
    seconds = _seconds(trials)
    total = sum(seconds.values())
    steps = float(np.mean([trial.curve["step"][-1] for trial in trials]))
    shares = [f"{100 * part / total:.0f} %" if total else "–" for part in seconds.values()]
    return [label, duration(total), *shares, number(steps / total if total else None)]


def _note() -> Html:
    return element(
        "p",
        "Means over seeds. Other: everything in an iteration that is neither sampling nor learning, such as "
        "sending weights to the rollout workers. Steps that were lost in a crash and done again count once.",
        class_="note",
    )


def _applies(run: RunData) -> bool:
    return any(np.isfinite(trial.curve["seconds/total"]).any() for trial in run.trials)


SECTION = Section("time", "Where the time went", 50, _applies, build)
