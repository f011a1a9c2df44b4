"""What pretraining does to each architecture."""

from __future__ import annotations

from collections.abc import Sequence

from rayrl.comparison.record import Effect
from rayrl.comparison.sections.found import applies, found_in
from rayrl.report.figures.chart import IntervalChart, IntervalRow
from rayrl.report.html import Html, element, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import interval, number, signed


def build(run: RunData) -> Sequence[Block]:
    """Differences with and without, of the same seeds."""
    comparison = found_in(run)
    styles = {(each.architecture, each.condition): each.style for each in comparison.candidates}
    several = len({effect.condition for effect in comparison.effects}) > 1
    chart = IntervalChart(
        name="pretraining_effect",
        title=f"What pretraining adds to the {comparison.measure}",
        description=f"Difference of the {comparison.measure} with and without pretraining, same seeds.",
        x_label=f"Difference in {comparison.measure}, with − without",
        rows=[
            IntervalRow(_label(effect, several), effect.score, styles[effect.architecture, effect.condition])
            for effect in comparison.effects
        ],
        origin=0.0,
    )
    rows = [
        [
            _label(effect, several),
            str(len(effect.seeds)),
            signed(effect.score),
            interval(effect.score),
            number(effect.probability.value, 2),
            interval(effect.probability),
            signed(effect.sample_efficiency),
            interval(effect.sample_efficiency),
        ]
        for effect in comparison.effects
    ]
    header = [
        "", "seeds", f"difference in {comparison.measure}", "95 % interval", "probability of improvement",
        "95 % interval", "difference in sample efficiency", "95 % interval",
    ]  # fmt: skip
    return [chart, table(header, rows), _note()]


def _label(effect: Effect, several: bool) -> str:
    return f"{effect.architecture}, {effect.condition}" if several else effect.architecture


def _note() -> Html:
    return element(
        "p",
        "Differences are of trials with the same seed, and their intervals Student's t over seeds. Sample "
        "efficiency is the mean over the steps of training of what the policy scored meanwhile; steps of the "
        "demonstrations are not among them.",
        class_="note",
    )


SECTION = Section(
    "pretraining",
    "What pretraining does",
    26,
    lambda run: applies(run) and bool(found_in(run).effects),
    build,
)
