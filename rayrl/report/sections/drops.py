"""Held to the start: whether training lost what the warm start had, with and without the reference KL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rayrl.report.drops import LEVEL, Drops, drops_of
from rayrl.report.figures.chart import Level, Line, LineChart
from rayrl.report.html import Html, element, table
from rayrl.report.outcomes import condition_label, condition_style
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import count, number

HEADER = ("", "start", "evaluations", "below the start", "lowest", "at step", "below in single trials")


def build(run: RunData) -> Sequence[Block]:
    """A chart of the differences from the start, how many lie below it, and what that means."""
    found = drops_of(run)
    return [_chart(run, found), table(HEADER, list(rows(run, found))), _note(found)]


def rows(run: RunData, found: Sequence[Drops]) -> Iterator[list[str]]:
    """One row for each condition, as ``HEADER`` names the columns."""
    for drops in found:
        singles = [each for trial in drops.single for each in trial]
        yield [
            condition_label(run, drops.architecture, drops.condition),
            number(drops.start),
            str(len(drops.pooled)),
            str(sum(each.is_drop for each in drops.pooled)),
            number(drops.lowest.mean),
            number(drops.lowest.step, 0),
            f"{sum(each.is_drop for each in singles)} of {len(singles)}",
        ]


def _chart(run: RunData, found: Sequence[Drops]) -> LineChart:
    return LineChart(
        name="held_to_the_start",
        title="Return in evaluation above the start",
        description="Mean difference of the return from that before training, by environment steps, while "
        "the reference KL is on.",
        x_label="Environment steps",
        y_label="Return above the start",
        lines=[
            Line(
                condition_label(run, drops.architecture, drops.condition),
                np.array([each.step for each in drops.pooled], np.float64),
                np.array([each.mean for each in drops.pooled]),
                condition_style(run, drops.architecture, drops.condition),
            )
            for drops in found
        ],
        levels=[Level("the start", 0.0)],
    )


def _note(found: Sequence[Drops]) -> Html:
    seeds = count(len(found[0].seeds), "seed")
    return element(
        "p",
        f"Evaluations are of the same episodes as the one before training, over {seeds}, while the reference "
        "KL is on in the trials that have it. One lies below the start where the mean of the paired "
        f"differences does so at a one-sided level of {100 * LEVEL:g} %, which all evaluations share "
        "(Bonferroni; Student's t over episodes). The last column looks at each trial alone.",
        class_="note",
    )


SECTION = Section("held", "Held to the start", 27, lambda run: bool(drops_of(run)), build)
