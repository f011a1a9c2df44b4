"""Every candidate against every other: the probability that a run of one beats a run of the other."""

from __future__ import annotations

from collections.abc import Sequence

from rayrl.comparison.quantities import in_prose
from rayrl.comparison.record import Comparison, Pair
from rayrl.comparison.sections.found import applies, found_in
from rayrl.evaluation.statistics import Estimate
from rayrl.report.figures.chart import IntervalChart, IntervalRow
from rayrl.report.html import Html, element, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.sections.results import details
from rayrl.report.text import NOTHING, interval, number, signed


def build(run: RunData) -> Sequence[Block]:
    """The first of the decision against each other as a chart, then all pairs."""
    comparison = found_in(run)
    first = comparison.decision.standings[0].label
    return [
        _chart(comparison, first),
        element(
            "p",
            "The probability that a run of the one scores higher than a run of the other, by Mann and "
            "Whitney's statistic, the mean over categories; a tie counts half. Where the interval leaves out "
            "0.5, one is better beyond chance, as far as so many seeds can tell.",
            class_="note",
        ),
        details("All pairs", _all(comparison)),
    ]


def seen_from(pair: Pair, label: str) -> Pair:
    """The pair with the candidate first."""
    if pair.a == label:
        return pair
    return Pair(
        a=pair.b,
        b=pair.a,
        probability=_mirrored(pair.probability, 1.0),
        difference=_mirrored(pair.difference, 0.0),
    )


def _mirrored(estimate: Estimate, whole: float) -> Estimate:
    """whole − estimate."""
    low, value, high = (
        None if end is None else whole - end for end in (estimate.high, estimate.value, estimate.low)
    )
    return Estimate(value=value, low=low, high=high, n=estimate.n)


def _chart(comparison: Comparison, first: str) -> IntervalChart:
    pairs = [seen_from(pair, first) for pair in comparison.pairs if first in (pair.a, pair.b)]
    return IntervalChart(
        name="probability_of_improvement",
        title=f"{in_prose(first)} against the others",
        description=f"Probability that a run of {in_prose(first)} scores higher than one of each other.",
        x_label="Probability of improvement",
        rows=[
            IntervalRow(f"over {in_prose(pair.b)}", pair.probability, comparison.candidate(pair.b).style)
            for pair in pairs
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
            {1: pair.a, -1: pair.b}.get(pair.sign, NOTHING),
        ]
        for pair in comparison.pairs
    ]
    header = [
        "", "against", "probability", "95 % interval", f"difference in {comparison.measure}", "95 % interval",
        "better beyond chance",
    ]  # fmt: skip
    return table(header, rows, text_columns=2)


SECTION = Section(
    "improvement",
    "Probability of improvement",
    24,
    lambda run: applies(run) and bool(found_in(run).pairs),
    build,
)
