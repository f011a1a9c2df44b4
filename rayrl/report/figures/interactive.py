"""Charts for the page, drawn by plotly.js.

Colours are those of the light page; each trace's ``meta.series`` says which of the page's ``--series-…``
colours ``report.js`` puts in their place.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.report.figures.chart import Chart, IntervalChart, LineChart, StackedBarChart
from rayrl.report.figures.style import FAINT, STYLES, style_of

_ROW_PX, _MARGIN_PX = 34, 110
_FEW_TICKS = 12
"""A range of x, counted in epochs or steps, that has a tick at every whole number."""


def to_plotly(chart: Chart) -> str:
    """The chart as plotly's JSON, ``{"data": [...], "layout": {...}}``, safe inside a ``<script>``."""
    import plotly.graph_objects as go  # it takes a second to import

    match chart:
        case LineChart():
            data, layout = _lines(chart)
        case IntervalChart():
            data, layout = _intervals(chart)
        case StackedBarChart():
            data, layout = _bars(chart)
    figure = go.Figure(data, {"template": "none", "hovermode": "closest", **layout})
    text: str = figure.to_json()
    return text.replace("<", "\\u003c")


def plotly_js() -> str:
    """The library's source."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source


def _lines(chart: LineChart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data: list[dict[str, Any]] = []
    for line in chart.lines:
        style = style_of(line.style)
        data.append(
            {
                "type": "scatter",
                "name": _plain(line.label),
                "legendgroup": str(line.style),
                "showlegend": not line.faint,
                "x": _list(line.x),
                "y": _list(line.y),
                "mode": "lines" if line.faint else "lines+markers",
                "line": {"color": style.color, "dash": style.dash, "width": 1.2 if line.faint else 2.6},
                "marker": {"symbol": style.marker, "size": 8, "maxdisplayed": 8},
                "opacity": FAINT if line.faint else 1,
                "meta": {"series": line.style % len(STYLES)},
            }
        )
    notes = [
        {
            "xref": "paper", "x": 1, "y": level.y, "xanchor": "right", "yanchor": "bottom",
            "text": _plain(level.label), "showarrow": False,
        }
        for level in chart.levels
    ]  # fmt: skip
    y_axis = {"title": {"text": _plain(chart.y_label)}} | ({"tickformat": ".2~%"} if chart.percent else {})
    xs = [x for line in chart.lines for x in line.x[[0, -1][: len(line.x)]]]
    layout = {
        "xaxis": {"title": {"text": _plain(chart.x_label)}} | _ticks(xs),
        "yaxis": y_axis,
        "shapes": [_rule("y", level.y) for level in chart.levels],
        "annotations": notes,
        "height": 400,
    }
    return data, layout


def _ticks(xs: Sequence[float]) -> dict[str, Any]:
    """Whole numbers where there are few, and the number itself where there is but one."""
    if len(set(xs)) == 1:
        return {"tickvals": [float(xs[0])], "tickformat": ","}
    return {"dtick": 1} if max(xs, default=0) - min(xs, default=0) <= _FEW_TICKS else {}


def _intervals(chart: IntervalChart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data: list[dict[str, Any]] = []
    for row in chart.rows:
        style, label, estimate = style_of(row.style), _plain(row.label), row.estimate
        series = {"series": row.style % len(STYLES)}
        value = estimate.value if estimate.value is not None else float("nan")
        above = 0.0 if estimate.high is None else estimate.high - value
        below = 0.0 if estimate.low is None else value - estimate.low
        data.append(
            {
                "type": "scatter",
                "name": label,
                "x": [value],
                "y": [label],
                "mode": "markers",
                "marker": {"symbol": style.marker, "size": 11, "color": style.color},
                "error_x": {
                    "type": "data", "array": [above], "arrayminus": [below], "color": style.color,
                    "thickness": 4, "width": 0,
                },
                "meta": series,
            }
        )  # fmt: skip
        data.append(
            {
                "type": "scatter",
                "name": f"{label}, single seeds",
                "x": list(row.points),
                "y": [label] * len(row.points),
                "mode": "markers",
                "marker": {"symbol": "line-ns-open", "size": 16, "color": style.color},
                "opacity": 0.6,
                "meta": series,
            }
        )
    layout = {
        "xaxis": {"title": {"text": _plain(chart.x_label)}} | _room(chart),
        "yaxis": {"autorange": "reversed", "automargin": True},
        "shapes": [] if chart.origin is None else [_rule("x", chart.origin)],
        "showlegend": False,
        "height": _MARGIN_PX + _ROW_PX * len(chart.rows),
    }
    return data, layout


def _room(chart: IntervalChart) -> dict[str, Any]:
    """Room at both sides of the origin, which may be the outermost thing; a tick for a single number."""
    values = [row.estimate.value for row in chart.rows if row.estimate.value is not None]
    ends = [end for row in chart.rows for end in (row.estimate.low, row.estimate.high) if end is not None]
    if chart.origin is None and len({*values, *ends, *(x for row in chart.rows for x in row.points)}) == 1:
        return _ticks(values)
    if chart.origin is None or not values:
        return {}
    low, high = min(*values, chart.origin), max(*values, chart.origin)
    room = 0.04 * (high - low)
    return {"autorangeoptions": {"include": [low - room, high + room]}}


def _bars(chart: StackedBarChart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    labels = [_plain(label) for label in chart.bars]
    parts = next(iter(chart.bars.values()), {})
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": _plain(part),
            "x": [bar[part] for bar in chart.bars.values()],
            "y": labels,
            "marker": {"color": style_of(i).color, "pattern": {"shape": style_of(i).pattern}},
            "meta": {"series": i % len(STYLES)},
        }
        for i, part in enumerate(parts)
    ]
    layout = {
        "barmode": "stack",
        "bargap": 0.4,
        "xaxis": {"title": {"text": _plain(chart.x_label)}},
        "yaxis": {"autorange": "reversed", "automargin": True},
        "height": _MARGIN_PX + 40 + _ROW_PX * len(labels),
    }
    return data, layout


def _rule(axis: str, position: float) -> dict[str, Any]:
    """A line across the chart, at a position of one axis."""
    other = "x" if axis == "y" else "y"
    return {
        "type": "line", f"{other}ref": "paper", f"{other}0": 0, f"{other}1": 1,
        f"{axis}0": position, f"{axis}1": position, "line": {"width": 1.4, "dash": "longdash"},
    }  # fmt: skip


def _plain(text: str) -> str:
    """Text as plotly shows it: it reads some tags, so those that are not meant as such are escaped."""
    return html.escape(text, quote=False)


def _list(values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """Six significant digits, which is more than a screen has."""
    return [float(f"{value:.6g}") for value in values]
