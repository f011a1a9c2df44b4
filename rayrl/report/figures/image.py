"""Charts as PNG, drawn by matplotlib on white."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from rayrl.evaluation.statistics import Estimate
from rayrl.report.figures.chart import (
    Chart,
    HeatMap,
    IntervalChart,
    LineChart,
    PointChart,
    StackedBarChart,
)
from rayrl.report.figures.scale import log_ticks
from rayrl.report.figures.style import BAND, FAINT, HEAT, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 150
_WIDTH_IN, _FRAME_IN, _ROW_IN, _PLOT_IN = 8.0, 1.3, 0.34, 3.4
_GREY, _INK = "#d5dae0", "#20262d"


def to_png(chart: Chart) -> bytes:
    """The chart as a PNG file."""
    from matplotlib.figure import Figure  # it takes half a second to import

    figure = Figure(figsize=(_WIDTH_IN, _FRAME_IN + _height(chart)), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    match chart:
        case LineChart():
            _draw_lines(chart, axes)
        case IntervalChart():
            _draw_intervals(chart, axes)
        case StackedBarChart():
            _draw_bars(chart, axes)
        case PointChart():
            _draw_points(chart, axes)
        case HeatMap():
            _draw_cells(chart, axes)
    axes.set_title(_plain(chart.title), loc="left", fontsize=11, fontweight="bold", color=_INK)
    if not isinstance(chart, HeatMap):
        axes.set_xlabel(_plain(chart.x_label))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=_GREY, linewidth=0.6)
    axes.set_axisbelow(True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _height(chart: Chart) -> float:
    match chart:
        case LineChart() | PointChart():
            return _PLOT_IN
        case IntervalChart() | HeatMap():
            return _ROW_IN * len(chart.rows)
        case StackedBarChart():
            return _ROW_IN * (len(chart.bars) + 1)


def _draw_lines(chart: LineChart, axes: Axes) -> None:
    for line in chart.lines:
        style = style_of(line.style)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=style.color, alpha=BAND, linewidth=0)
        axes.plot(
            line.x,
            line.y,
            color=style.color,
            linestyle=style.dash_mpl,
            linewidth=1.0 if line.faint else 2.2,
            alpha=FAINT if line.faint else 1.0,
            marker=None if line.faint else style.marker_mpl,
            markevery=max(1, len(line.x) // 8),
            label=None if line.faint else _plain(line.label),
        )
    for level in chart.levels:
        axes.axhline(level.y, color=_INK, linewidth=1.2, linestyle=(0, (9.0, 3.0)))
        axes.annotate(
            _plain(level.label),
            (1.0, level.y),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
        )
    axes.set_ylabel(_plain(chart.y_label))
    if chart.percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    if chart.counted:
        axes.locator_params(axis="x", integer=True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if any(not line.faint for line in chart.lines):
        axes.legend(frameon=False)


def _draw_intervals(chart: IntervalChart, axes: Axes) -> None:
    for position, row in enumerate(chart.rows):
        style, estimate = style_of(row.style), row.estimate
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [position] * 2, color=style.color, linewidth=2.2)
        if estimate.value is not None:
            axes.plot(estimate.value, position, color=style.color, marker=style.marker_mpl, markersize=8)
        axes.plot(row.points, [position] * len(row.points), "|", color=style.color, markersize=11, alpha=0.6)
    if chart.origin is not None:
        axes.axvline(chart.origin, color=_INK, linewidth=1.2, linestyle=(0, (9.0, 3.0)))
    axes.set_yticks(range(len(chart.rows)), [_plain(row.label) for row in chart.rows])
    axes.set_ylim(len(chart.rows) - 0.5, -0.5)


def _draw_bars(chart: StackedBarChart, axes: Axes) -> None:
    labels = [_plain(label) for label in chart.bars]
    left = [0.0] * len(labels)
    for i, part in enumerate(next(iter(chart.bars.values()), {})):
        style, lengths = style_of(i), [bar[part] for bar in chart.bars.values()]
        axes.barh(
            range(len(labels)),
            lengths,
            left=left,
            height=0.6,
            color=style.color,
            hatch=style.hatch,
            edgecolor="white",
            linewidth=0,
            label=_plain(part),
        )
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.figure.legend(frameon=False, ncols=6, loc="outside lower center")


def _draw_points(chart: PointChart, axes: Axes) -> None:
    for point in chart.points:
        style = style_of(point.style)
        axes.errorbar(
            _number(point.x.value),
            _number(point.y.value),
            xerr=_arms(point.x),
            yerr=_arms(point.y),
            color=style.color,
            marker=style.marker_mpl,
            markersize=8,
            linestyle="none",
            label=_plain(point.label),
        )
    on_line = sorted((_number(p.x.value), _number(p.y.value)) for p in chart.points if p.label in chart.front)
    if on_line:
        xs, ys = zip(*on_line, strict=True)
        axes.plot(xs, ys, color=_INK, linewidth=1.2, linestyle="dotted", label=_plain(chart.front_label))
    if chart.log_x:
        ticks = log_ticks([point.x.value for point in chart.points if point.x.value is not None])
        low, high = axes.get_xlim()
        axes.set_xscale("log")
        axes.set_xticks([tick for tick in ticks if low < tick < high], minor=False)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
        axes.xaxis.set_minor_formatter("")
    axes.set_ylabel(_plain(chart.y_label))
    axes.figure.legend(frameon=False, ncols=3, loc="outside lower center")


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _arms(estimate: Estimate) -> list[list[float]] | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    # Of an interval by resampling, the estimate may be an end.
    return [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]


def _draw_cells(chart: HeatMap, axes: Axes) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("heat", HEAT)
    axes.imshow(chart.values, cmap=colors, vmin=chart.low, vmax=chart.high, aspect="auto")
    for row, texts in enumerate(chart.texts):
        for column, text in enumerate(texts):
            axes.text(column, row, _plain(text), ha="center", va="center", color=_INK)
    axes.set_xticks(range(len(chart.columns)), [_plain(label) for label in chart.columns])
    axes.set_yticks(range(len(chart.rows)), [_plain(label) for label in chart.rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _plain(text: str) -> str:
    """Text as matplotlib shows it: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")
