"""Learning curves: training return by environment steps, per condition and seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.report.curves import mean_curve
from rayrl.report.figures.chart import Line, LineChart
from rayrl.report.html import element
from rayrl.report.outcomes import condition_label, condition_style
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import count
from rayrl.report.warm_start import TRAINING_RETURN

_CHARTS = (
    ("learning_curves", "Training return", TRAINING_RETURN, "Return of an episode, recent mean"),
    ("success_curves", "Training success", "success_rate", "Share of episodes that succeeded"),
)


def build(run: RunData) -> Sequence[Block]:
    """A chart of returns, and one of success where the environment tells it."""
    blocks: list[Block] = []
    for name, title, column, y_label in _CHARTS:
        lines = list(_lines(run, column))
        if lines:
            blocks.append(
                LineChart(
                    name=name,
                    title=title,
                    description=f"{title} by environment steps, each seed and the mean of each condition.",
                    x_label="Environment steps",
                    y_label=y_label,
                    lines=lines,
                    percent=column == "success_rate",
                )
            )
    if not blocks:
        return [element("p", "No episode was finished in training, so no return is known.", class_="note")]
    blocks.append(
        element(
            "p",
            "Faint lines are single training seeds, bold ones their mean over the steps that all have. While "
            "it trains, a policy samples its actions; the evaluation below takes the most likely ones.",
            class_="note",
        )
    )
    return blocks


def _lines(run: RunData, column: str) -> Iterator[Line]:
    experiment = run.experiment
    bold = []
    for architecture in experiment.architectures:
        for condition in experiment.conditions:
            trials = [t for t in run.trials if (t.architecture, t.condition) == (architecture, condition)]
            curves = {trial.seed: trial.curve.known("step", column) for trial in trials}
            curves = {seed: curve for seed, curve in curves.items() if len(curve[0])}
            label = condition_label(run, architecture, condition)
            style = condition_style(run, architecture, condition)
            if len(curves) > 1:
                for seed, (x, y) in curves.items():
                    yield Line(f"{label}, seed {seed}", x, y, style, faint=True)
            if curves:
                x, y = mean_curve(list(curves.values()))
                bold.append(Line(f"{label} ({count(len(curves), 'seed')})", x, y, style))
    yield from bold


SECTION = Section(
    "learning", "Learning curves", 20, lambda run: any(len(trial.curve) for trial in run.trials), build
)
