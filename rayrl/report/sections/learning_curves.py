"""Learning curves: training return by environment steps, per condition and seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rayrl.report.curves import mean_curve
from rayrl.report.evaluations import curve_of
from rayrl.report.figures.chart import Line, LineChart
from rayrl.report.groups import Group, groups_of
from rayrl.report.html import element
from rayrl.report.run_data import RunData, Trial
from rayrl.report.sections.registry import Block, Section
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import count
from rayrl.report.warm_start import TRAINING_RETURN

_Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""x and y."""
_CHARTS = (
    ("learning_curves", "Training return", TRAINING_RETURN, "Return of an episode, recent mean"),
    ("success_curves", "Training success", "success_rate", "Share of episodes that succeeded"),
)


def build(run: RunData) -> Sequence[Block]:
    """A chart of returns, and one of success where the environment tells it."""
    return _blocks(groups_of(run))


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """The same, with the trials of all runs."""
    return _blocks(comparison.groups())


def _blocks(groups: Sequence[Group]) -> Sequence[Block]:
    blocks: list[Block] = []
    for name, title, column, y_label in _CHARTS:
        lines = list(seed_lines(groups, column))
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
    if evaluated := list(_lines(groups, lambda trial: curve_of(trial.evaluations))):
        blocks.append(
            LineChart(
                name="evaluations",
                title="Return in evaluation",
                description="Return in evaluations while training, by environment steps, each seed "
                "and the mean of each condition.",
                x_label="Environment steps",
                y_label="Return of an episode, mean",
                lines=evaluated,
            )
        )
    if not blocks:
        return [element("p", "No episode was finished in training, so no return is known.", class_="note")]
    blocks.append(
        element(
            "p",
            "Faint lines are single training seeds, bold ones their mean over the steps that all have. While "
            "it trains, a policy samples its actions; evaluations take the most likely ones.",
            class_="note",
        )
    )
    return blocks


def seed_lines(groups: Sequence[Group], column: str) -> Iterator[Line]:
    """A faint line for each seed that knows the column, and a bold one for the mean of each group."""
    yield from _lines(groups, lambda trial: trial.curve.known("step", column))


def _lines(groups: Sequence[Group], points_of: Callable[[Trial], _Points]) -> Iterator[Line]:
    bold = []
    for group in groups:
        curves = {trial.seed: points_of(trial) for trial in group.trials}
        curves = {seed: curve for seed, curve in curves.items() if len(curve[0])}
        if len(curves) > 1:
            for seed, (x, y) in curves.items():
                yield Line(f"{group.label}, seed {seed}", x, y, group.style, faint=True)
        if curves:
            x, y = mean_curve(list(curves.values()))
            bold.append(Line(f"{group.label} ({count(len(curves), 'seed')})", x, y, group.style))
    yield from bold


SECTION = Section(
    "learning",
    "Learning curves",
    20,
    lambda run: any(len(trial.curve) for trial in run.trials),
    build,
    compare,
)
