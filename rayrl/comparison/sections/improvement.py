"""Every candidate against every other: the probability that a run of one beats a run of the other."""

from __future__ import annotations

from collections.abc import Sequence

from rayrl.comparison.quantities import in_prose
from rayrl.comparison.record import Comparison
from rayrl.comparison.sections.found import applies, found_in
from rayrl.comparison.significance import LEVEL
from rayrl.evaluation.statistics import ENOUGH_RUNS
from rayrl.report.figures.chart import IntervalChart, IntervalRow
from rayrl.report.html import Html, element, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.sections.results import details
from rayrl.report.text import NOTHING, interval, number, percent, signed


def build(run: RunData) -> Sequence[Block]:
    """The first of the decision against each other as a chart, then all pairs."""
    comparison = found_in(run)
    first = comparison.decision.standings[0].label
    return [
        _chart(comparison, first),
        element(
            "p",
            "The probability that a run of the one scores higher than a run of the other, by Mann and "
            "Whitney's statistic, the mean over categories; a tie counts half. The interval is of this pair "
            f"alone. {_tested(comparison)}",
            class_="note",
        ),
        details("All pairs", _all(comparison)),
    ]


def _p_value(p_value: float | None) -> str:
    return "< 0.001" if p_value is not None and p_value < 0.001 else number(p_value, 3)


def _tested(comparison: Comparison) -> str:
    """What is called better beyond chance, or why nobody is."""
    tested = sum(pair.p_value is not None for pair in comparison.pairs)
    few = f"Fewer than {ENOUGH_RUNS} training seeds cannot exclude chance"
    if not tested:
        return f"{few}, so that nobody is called better beyond it."
    text = (
        f"Better beyond chance has a higher mean {comparison.measure}, by Welch's t-test over training seeds "
        f"at a level of {percent(LEVEL)}"
    )
    if tested > 1:
        text += f", with p-values that Holm's procedure adjusts for {tested} pairs"
    return f"{text}." if tested == len(comparison.pairs) else f"{text}. {few}, and are not tested."


def _chart(comparison: Comparison, first: str) -> IntervalChart:
    return IntervalChart(
        name="probability_of_improvement",
        title=f"{in_prose(first)} against the others",
        description=f"Probability that a run of {in_prose(first)} scores higher than one of each other.",
        x_label="Probability of improvement",
        rows=[
            IntervalRow(f"over {in_prose(pair.b)}", pair.probability, comparison.candidate(pair.b).style)
            for pair in comparison.pairs_seen_from(first)
        ],
        origin=0.5,
    )


def _all(comparison: Comparison) -> Html:
    rows = [
        [
            pair.a,
            pair.b,
            number(pair.probability.value, 2),
            interval(pair.probability),
            signed(pair.difference),
            interval(pair.difference),
            _p_value(pair.p_value),
            {1: pair.a, -1: pair.b}.get(pair.sign, NOTHING),
        ]
        for pair in comparison.pairs
    ]
    header = [
        "", "against", "probability", "95 % interval", f"difference in {comparison.measure}", "95 % interval",
        "p, adjusted", "better beyond chance",
    ]  # fmt: skip
    return table(header, rows, text_columns=2)


SECTION = Section(
    "improvement",
    "Probability of improvement",
    24,
    lambda run: applies(run) and bool(found_in(run).pairs),
    build,
)
