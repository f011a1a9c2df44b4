"""The data of charts as CSV, one value per line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from rayrl.report.figures.chart import Chart, HeatMap, IntervalChart, LineChart, PointChart, StackedBarChart


def to_csv(chart: Chart) -> str:
    """The chart's data.

    Curves are ``series,x,y``, with ``low,high`` where there are bands, estimates ``label,value,low,high,n``
    followed by the single values, bars ``bar,part,value``, points ``label`` with the estimates of x and y,
    and heat maps a line for each row.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_rows(chart))
    return text.getvalue()


def _rows(chart: Chart) -> Iterator[Sequence[object]]:
    match chart:
        case LineChart():
            bands = any(line.low is not None for line in chart.lines)
            yield ("series", "x", "y", *(("low", "high") if bands else ()))
            for line in chart.lines:
                sides = [side for side in (line.x, line.y, line.low, line.high) if side is not None]
                for numbers in zip(*(side.tolist() for side in sides), strict=True):
                    yield (line.label, *numbers)
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
        case PointChart():
            yield ("label", "x", "x_low", "x_high", "y", "y_low", "y_high", "on_line")
            for point in chart.points:
                ends = (each for e in (point.x, point.y) for each in (e.value, e.low, e.high))
                yield (point.label, *ends, int(point.label in chart.front))
        case HeatMap():
            yield ("", *chart.columns)
            for label, values in zip(chart.rows, chart.values.tolist(), strict=True):
                yield (label, *("" if math.isnan(value) else value for value in values))
