"""Curves: what stages write line by line while they learn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Numbers by step.

    Args:
        columns: float64 (n,) each, by name; parts of nested values are ``outer/inner``. NaN where a line has
            no such number.
    """

    columns: Mapping[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """A column; NaN throughout where there is none."""
        return self.columns.get(name, np.full(len(self), np.nan))

    def known(self, x: str, y: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both columns where ``y`` is known."""
        known = ~np.isnan(self[y])
        return self[x][known], self[y][known]


def read_curve(path: Path, key: str) -> tuple[Curve, int]:
    """Reads JSON lines.

    Args:
        path: the file; one that is not there has no lines.
        key: the number that orders the lines. Of several lines with the same, the last one counts: a resumed
            run writes again what it does again.

    Returns:
        The curve, and how many lines could not be read, as a line cut short by a crash.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows: dict[float, _Row] = {}
    damaged = 0
    for line in lines:
        row = _parse(line)
        if key in row:
            rows[row[key]] = row
        else:
            damaged += 1
    return _curve([rows[position] for position in sorted(rows)]), damaged


def mean_curve(
    curves: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of several curves (x, y), over the range of x in which all are known.

    Between its own points a curve is a straight line.
    """
    curves = [(x, y) for x, y in curves if len(x)]
    if not curves:
        return np.empty(0), np.empty(0)
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    points = np.unique(np.concatenate([x for x, _ in curves]))
    points = points[(points >= start) & (points <= end)]
    return points, np.mean([np.interp(points, x, y) for x, y in curves], axis=0)


def _parse(line: str) -> _Row:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return _numbers(value) if isinstance(value, dict) else {}


def _numbers(value: Mapping[str, Any], prefix: str = "") -> _Row:
    row: _Row = {}
    for name, item in value.items():
        if isinstance(item, dict):
            row |= _numbers(item, f"{prefix}{name}/")
        elif isinstance(item, bool | int | float):
            row[prefix + name] = float(item)
    return row


def _curve(rows: Sequence[_Row]) -> Curve:
    names = dict.fromkeys(name for row in rows for name in row)
    return Curve({name: np.array([row.get(name, np.nan) for row in rows]) for name in names})
