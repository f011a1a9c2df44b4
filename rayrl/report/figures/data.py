"""The data of charts as CSV, one value per line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from rayrl.report.figures.chart import Chart, IntervalChart, LineChart, StackedBarChart


def to_csv(chart: Chart) -> str:
    """The chart's data.

    Curves are ``series,x,y``, estimates ``label,value,low,high,n`` followed by the single values, and
    bars ``bar,part,value``.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_rows(chart))
    return text.getvalue()


def _rows(chart: Chart) -> Iterator[Sequence[object]]:
    match chart:
        case LineChart():
            yield ("series", "x", "y")
            for line in chart.lines:
                for x, y in zip(line.x.tolist(), line.y.tolist(), strict=True):
                    yield (line.label, x, y)
            for level in chart.levels:
                yield (level.label, "", level.y)
        case IntervalChart():
            points = max((len(row.points) for row in chart.rows), default=0)
            yield ("label", "value", "low", "high", "n", *(f"point_{i}" for i in range(points)))
            for row in chart.rows:
                estimate = row.estimate
                yield (row.label, estimate.value, estimate.low, estimate.high, estimate.n, *row.points)
        case StackedBarChart():
            yield ("bar", "part", "value")
            for label, bar in chart.bars.items():
                for part, value in bar.items():
                    yield (label, part, value)
