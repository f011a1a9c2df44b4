"""What a figure shows, apart from how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayrl.evaluation.statistics import Estimate


@dataclass(frozen=True, slots=True)
class Line:
    """One curve."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    style: int
    """Index of its colour, dash and marker."""
    faint: bool = False
    """Whether it stands behind another of the same style that is in the legend, as a seed behind the mean."""
    low: NDArray[np.float64] | None = None
    """Lower end of a band around it, as long as ``y``."""
    high: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line to compare with."""

    label: str
    y: float


@dataclass(frozen=True, slots=True)
class LineChart:
    """Curves over a common axis."""

    name: str
    """Of its files, and of its place in the page."""
    title: str
    description: str
    """What one is to see in it, for readers who do not see it."""
    x_label: str
    y_label: str
    lines: Sequence[Line]
    levels: Sequence[Level] = ()
    percent: bool = False
    """Whether y is a share, shown in percent."""
    counted: bool = True
    """Whether x counts something, so that its ticks are whole numbers."""


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """An estimate, and the single values behind it."""

    label: str
    estimate: Estimate
    style: int
    points: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class IntervalChart:
    """Estimates with their intervals, one below the other."""

    name: str
    title: str
    description: str
    x_label: str
    rows: Sequence[IntervalRow]
    origin: float | None = None
    """Where a vertical line stands to compare with."""


@dataclass(frozen=True, slots=True)
class StackedBarChart:
    """Bars of parts, one below the other."""

    name: str
    title: str
    description: str
    x_label: str
    bars: Mapping[str, Mapping[str, float]]
    """The parts' lengths by part, by the bar's label; every bar has the same parts in the same order."""


@dataclass(frozen=True, slots=True)
class Point:
    """Something with two estimates."""

    label: str
    x: Estimate
    y: Estimate
    style: int


@dataclass(frozen=True, slots=True)
class PointChart:
    """One quantity against another, with a line through some of the points."""

    name: str
    title: str
    description: str
    x_label: str
    y_label: str
    points: Sequence[Point]
    front: Sequence[str] = ()
    """Labels of the points that the line connects."""
    front_label: str = ""
    """What the line is."""
    log_x: bool = False
    """Whether equal ratios of x are equally far apart."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A number for each row and column, the higher the deeper in colour."""

    name: str
    title: str
    description: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: NDArray[np.float64]
    """(rows, columns); NaN where there is none."""
    texts: Sequence[Sequence[str]]
    """What stands in each cell."""
    low: float | None = None
    """What is palest; by default the lowest value."""
    high: float | None = None


Chart = LineChart | IntervalChart | StackedBarChart | PointChart | HeatMap
