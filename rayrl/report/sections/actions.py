"""What policies do while they train: the share of each discrete action by environment steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.report.curves import mean_curve
from rayrl.report.figures.chart import Line, LineChart
from rayrl.report.html import element
from rayrl.report.outcomes import condition_label
from rayrl.report.run_data import RunData, Trial
from rayrl.report.sections.registry import Block, Section

_PREFIX = "actions/"


def build(run: RunData) -> Sequence[Block]:
    """A chart for each condition, then what to see in it."""
    return [
        *_charts(run),
        element(
            "p",
            "Shares of the actions that were taken in training, means over the seeds. A share that goes to "
            "one is a policy that has ceased to look; equal shares are those of actions drawn at random.",
            class_="note",
        ),
    ]


def _charts(run: RunData) -> Iterator[LineChart]:
    experiment = run.experiment
    for architecture in experiment.architectures:
        for condition in experiment.conditions:
            trials = [t for t in run.trials if (t.architecture, t.condition) == (architecture, condition)]
            names = _actions(trials)
            label = condition_label(run, architecture, condition)
            curves = [mean_curve([t.curve.known("step", _PREFIX + name) for t in trials]) for name in names]
            if names:
                yield LineChart(
                    name=f"actions_{label.replace(', ', '_')}",
                    title=f"Actions, {label}",
                    description=f"Share of each action by environment steps, {label} policies.",
                    x_label="Environment steps",
                    y_label="Share of the decisions",
                    lines=[
                        Line(f"action {name}", x, y, style)
                        for style, (name, (x, y)) in enumerate(zip(names, curves, strict=True))
                    ],
                    percent=True,
                )


def _actions(trials: Sequence[Trial]) -> list[str]:
    columns = dict.fromkeys(name for trial in trials for name in trial.curve.columns)
    return [name.removeprefix(_PREFIX) for name in columns if name.startswith(_PREFIX)]


SECTION = Section("actions", "Actions", 45, lambda run: bool(_actions(run.trials)), build)
