"""An evaluation's results as plain text."""

from __future__ import annotations

from collections.abc import Mapping

from rayrl.evaluation.level_metrics import LevelMetrics, level_metrics
from rayrl.evaluation.result import EvaluationResult
from rayrl.evaluation.statistics import Estimate, Summary

_RATE = "success_rate"


def results_table(result: EvaluationResult) -> str:
    """The summary of each category, and how levels are solved where the environment tells success.

    Where there are several categories and success is told, their summaries are left out.
    """
    solved = level_metrics(result)
    if solved is not None and result.categories:
        return f"{_head(result)}\n{levels_table(solved)}"
    parts = {name: result.within(name) for name in result.categories}
    blocks = [f"{name}: {summary_table(part)}" for name, part in parts.items()] or [summary_table(result)]
    return "\n\n".join([*blocks, *([] if solved is None else [levels_table(solved)])])


def levels_table(solved: LevelMetrics) -> str:
    """An aligned line for each category, and for all levels and all categories alike where there are several.

    The columns are the episodes, the success rate with its 95 % interval, and the other metrics.
    """
    categories: dict[str, Mapping[str, Estimate]] = {**solved.categories}
    if len(categories) > 1:
        categories |= {"micro": solved.micro, "macro": solved.macro}
    further = [name for name in solved.micro if name != _RATE]
    rows = [["", "episodes", _RATE, "95 % interval", *further]]
    for name, metrics in categories.items():
        rate = metrics[_RATE]
        values = [_number(metrics[metric].value) for metric in further]
        rows.append([name, str(rate.n), _number(rate.value), _interval(rate), *values])
    return _table(rows)


def summary_table(result: EvaluationResult) -> str:
    """What was played in one line, and an aligned line for each metric.

    The columns are the mean over episodes, its 95 % interval, the standard deviation and the median.
    """
    rows = [["", "mean", "95 % interval", "std", "median"]]
    for name, summary in result.summary().items():
        numbers = _number(summary.std), _number(summary.median)
        rows.append([name, _number(summary.mean), _interval(summary), *numbers])
    return f"{_head(result)}\n{_table(rows)}"


def _head(result: EvaluationResult) -> str:
    drawn = ", drawn actions" if result.actor.deterministic is False else ""
    return f"{result.actor.name} on {result.env.id}: {result.episodes} episodes, seed {result.seed}{drawn}"


def _table(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_aligned(row, widths) for row in rows)


def _interval(of: Estimate | Summary) -> str:
    return "–" if of.low is None else f"[{of.low:.4g}, {of.high:.4g}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _aligned(row: list[str], widths: list[int]) -> str:
    cells = [row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
    return "  ".join(cells)
