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

from rayrl.evaluation.statistics import Estimate
from rayrl.report.figures.chart import (
    Chart,
    HeatMap,
    IntervalChart,
    Line,
    LineChart,
    PointChart,
    StackedBarChart,
)
from rayrl.report.figures.scale import log_ticks
from rayrl.report.figures.style import BAND, FAINT, HEAT, STYLES, style_of

_ROW_PX, _MARGIN_PX = 34, 110
_QUIET = 5
"""The grey among the styles' colours."""
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
        case PointChart():
            data, layout = _points(chart)
        case HeatMap():
            data, layout = _cells(chart)
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
        if line.low is not None and line.high is not None:
            data.append(_band(line, line.low, line.high))
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
        "xaxis": {"title": {"text": _plain(chart.x_label)}} | (_ticks(xs) if chart.counted else {}),
        "yaxis": y_axis,
        "shapes": [_rule("y", level.y) for level in chart.levels],
        "annotations": notes,
        "height": 400,
    }
    return data, layout


def _band(line: Line, low: NDArray[np.float64], high: NDArray[np.float64]) -> dict[str, Any]:
    """What lies between two curves: there along the upper, and back along the lower."""
    return {
        "type": "scatter",
        "name": f"{_plain(line.label)}, 95 %",
        "legendgroup": str(line.style),
        "showlegend": False,
        "x": _list(np.concatenate([line.x, line.x[::-1]])),
        "y": _list(np.concatenate([high, low[::-1]])),
        "mode": "lines",
        "fill": "toself",
        "line": {"color": style_of(line.style).color, "width": 0},
        "opacity": BAND,
        "hoverinfo": "skip",
        "meta": {"series": line.style % len(STYLES)},
    }


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
        data.append(
            {
                "type": "scatter",
                "name": label,
                "x": [value],
                "y": [label],
                "mode": "markers",
                "marker": {"symbol": style.marker, "size": 11, "color": style.color},
                "error_x": _arms(estimate, style.color, thickness=4),
                "meta": series,
            }
        )
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


def _arms(estimate: Estimate, color: str, *, thickness: int) -> dict[str, Any]:
    """The arms of an estimate's interval; of length 0 where there is none."""
    value = estimate.value if estimate.value is not None else float("nan")
    above = 0.0 if estimate.high is None else estimate.high - value
    below = 0.0 if estimate.low is None else value - estimate.low
    return {
        "type": "data", "array": [above], "arrayminus": [below], "color": color,
        "thickness": thickness, "width": 0,
    }  # fmt: skip


def _points(chart: PointChart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "name": _plain(point.label),
            "x": [point.x.value],
            "y": [point.y.value],
            "mode": "markers",
            "marker": {
                "symbol": style_of(point.style).marker,
                "size": 12,
                "color": style_of(point.style).color,
            },
            "error_x": _arms(point.x, style_of(point.style).color, thickness=2),
            "error_y": _arms(point.y, style_of(point.style).color, thickness=2),
            "meta": {"series": point.style % len(STYLES)},
        }
        for point in chart.points
    ]
    known = [(p.x.value, p.y.value) for p in chart.points if p.label in chart.front]
    on_line = sorted((x, y) for x, y in known if x is not None and y is not None)
    if on_line:
        data.append(
            {
                "type": "scatter",
                "name": _plain(chart.front_label),
                "x": [x for x, _ in on_line],
                "y": [y for _, y in on_line],
                "mode": "lines",
                "line": {"color": style_of(_QUIET).color, "dash": "dot", "width": 1.6},
                "meta": {"series": _QUIET},
            }
        )
    layout = {
        "xaxis": {"title": {"text": _plain(chart.x_label)}} | (_log_ticks(chart) if chart.log_x else {}),
        "yaxis": {"title": {"text": _plain(chart.y_label)}},
        "height": 420,
    }
    return data, layout


def _log_ticks(chart: PointChart) -> dict[str, Any]:
    """An axis of ratios, with each number written out."""
    ticks = log_ticks([point.x.value for point in chart.points if point.x.value is not None])
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,.6g}" for tick in ticks]}


def _cells(chart: HeatMap) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data = [
        {
            "type": "heatmap",
            "z": [[None if np.isnan(value) else value for value in row] for row in chart.values.tolist()],
            "x": [_plain(label) for label in chart.columns],
            "y": [_plain(label) for label in chart.rows],
            "text": [[_plain(text) for text in row] for row in chart.texts],
            "texttemplate": "%{text}",
            "hovertemplate": "%{y}, %{x}: %{text}<extra></extra>",
            "colorscale": [[0, HEAT[0]], [1, HEAT[1]]],
            "zmin": chart.low,
            "zmax": chart.high,
            "showscale": False,
            "xgap": 2,
            "ygap": 2,
            "meta": {"series": 0},
        }
    ]
    layout = {
        "xaxis": {"type": "category", "showgrid": False},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "showgrid": False},
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
