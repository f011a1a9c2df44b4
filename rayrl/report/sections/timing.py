"""Where the time went: sampling, learning, and the rest, in each condition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rayrl.report.figures.chart import StackedBarChart
from rayrl.report.groups import Group, groups_of
from rayrl.report.html import Html, element, table
from rayrl.report.outcomes import condition_label
from rayrl.report.run_data import RunData, Trial
from rayrl.report.sections.registry import Block, Section
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import duration, number

_PARTS = {
    "sampling": "sample",
    "rollout wait": "rollout_wait",
    "learning": "learn",
    "learner wait": "learner_wait",
}
"""By what the report calls them, the names in ``progress.jsonl``."""
_OTHER = "other"
_HEADER = ("", "a trial takes", *_PARTS, _OTHER, "steps per second")


def build(run: RunData) -> Sequence[Block]:
    """A chart of seconds by condition, and a table with the pace."""
    chart, rows = _chart_and_rows(groups_of(run))
    for architecture in run.experiment.architectures:
        spent = [p.summary.seconds for p in run.pretraining if p.architecture == architecture and p.summary]
        known = [seconds for seconds in spent if seconds is not None]
        if known:
            label = condition_label(run, architecture, "pretraining of one seed")
            rows.append([label, duration(float(np.mean(known))), *["–"] * (len(_HEADER) - 2)])
    return [chart, table(_HEADER, rows), _note()]


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """The same, with the trials of all runs."""
    groups = comparison.groups()
    if not any(_timed(group) for group in groups):
        return []
    chart, rows = _chart_and_rows(groups)
    return [chart, table(_HEADER, rows), _note()]


def _chart_and_rows(groups: Sequence[Group]) -> tuple[StackedBarChart, list[list[str]]]:
    timed = {group.label: trials for group in groups if (trials := _timed(group))}
    chart = StackedBarChart(
        name="time",
        title="Time of a trial",
        description="Seconds that a trial spends sampling, learning and otherwise, the mean over seeds.",
        x_label="Seconds, mean over seeds",
        bars={label: _seconds(trials) for label, trials in timed.items()},
    )
    return chart, [_row(label, trials) for label, trials in timed.items()]


def _timed(group: Group) -> list[Trial]:
    return [trial for trial in group.trials if np.isfinite(trial.curve["seconds/total"]).any()]


def _seconds(trials: Sequence[Trial]) -> dict[str, float]:
    """Seconds of a trial by part, the mean over trials."""
    parts = {part: _total(trials, column) for part, column in _PARTS.items()}
    return parts | {_OTHER: max(0.0, _total(trials, "total") - sum(parts.values()))}


def _total(trials: Sequence[Trial], column: str) -> float:
    return float(np.mean([np.nansum(trial.curve[f"seconds/{column}"]) for trial in trials]))


def _row(label: str, trials: Sequence[Trial]) -> list[str]:
    seconds = _seconds(trials)
    total = sum(seconds.values())
    steps = float(np.mean([trial.curve["step"][-1] for trial in trials]))
    shares = [f"{100 * part / total:.0f} %" if total else "–" for part in seconds.values()]
    return [label, duration(total), *shares, number(steps / total if total else None)]


def _note() -> Html:
    return element(
        "p",
        "Means over seeds. Sampling: the seconds of the slowest rollout worker, and rollout wait those that "
        "the algorithm waited beyond; learning and learner wait likewise. Other: the rest of an iteration, "
        "such as taking the new weights. Steps that were lost in a crash and done again count once.",
        class_="note",
    )


def _applies(run: RunData) -> bool:
    return any(np.isfinite(trial.curve["seconds/total"]).any() for trial in run.trials)


SECTION = Section("time", "Where the time went", 50, _applies, build, compare)
