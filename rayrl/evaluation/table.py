"""An evaluation's summary as plain text."""

from __future__ import annotations

from rayrl.evaluation.result import EvaluationResult


def summary_table(result: EvaluationResult) -> str:
    """What was played in one line, and an aligned line for each metric.

    The columns are the mean over episodes, its 95 % interval, the standard deviation and the median.
    """
    rows = [["", "mean", "95 % interval", "std", "median"]]
    for name, summary in result.summary().items():
        interval = "–" if summary.low is None else f"[{summary.low:.4g}, {summary.high:.4g}]"
        rows.append([name, _number(summary.mean), interval, _number(summary.std), _number(summary.median)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head = f"{result.actor.name} on {result.env.id}: {result.episodes} episodes, seed {result.seed}"
    return "\n".join([head, *(_aligned(row, widths) for row in rows)])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _aligned(row: list[str], widths: list[int]) -> str:
    cells = [row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
    return "  ".join(cells)
