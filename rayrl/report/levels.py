"""How levels were solved, by who played: trained policies, cloned ones, demonstrators.

Numbers of a condition are means over its training seeds; their intervals are over episodes, as those of
``rayrl.report.outcomes``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from rayrl.evaluation.level_metrics import LevelMetrics, mean_level_metrics
from rayrl.evaluation.result import SUCCESS
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.outcomes import Outcome, Outcomes, categories_in, outcomes_of
from rayrl.report.run_data import RunData

FILE = "levels.csv"
_HEADER = ("actions", "name", "over", "metric", "value", "low", "high", "episodes")


@dataclass(frozen=True, slots=True)
class Solved:
    """The metrics of one row of outcomes."""

    label: str
    metrics: LevelMetrics


def solved_by(categories: Mapping[str, Outcomes]) -> list[Solved]:
    """The metrics of all who played the same episodes in every category, and of whom success is told.

    Args:
        categories: who played in each; the environment as trained is among them.
    """
    by_label: dict[str, dict[str, Outcome]] = {}
    for name, found in categories.items():
        for row in found.rows:
            by_label.setdefault(row.label, {})[name] = row
    solved = []
    for label, rows in by_label.items():
        # Of policies that were not all evaluated in all categories, there is no mean over these.
        complete = rows.keys() == categories.keys() and len({len(row.results) for row in rows.values()}) == 1
        if complete and all(row.has(SUCCESS) for row in rows.values()):
            parts = {name: row.results for name, row in rows.items()}
            solved.append(Solved(label, mean_level_metrics(parts)))
    return solved


@lru_cache(maxsize=2)
def solved_in(run: RunData, *, drawn: bool) -> tuple[Solved, ...]:
    """The metrics of all who played in a run.

    Args:
        run: the run.
        drawn: by actions that were drawn, instead of the most likely ones.
    """
    return tuple(solved_by(by_category(run, drawn=drawn)))


def by_category(run: RunData, *, drawn: bool = False) -> dict[str, Outcomes]:
    """Who played in each category, the environment as trained first.

    Args:
        run: the run.
        drawn: by actions that were drawn, instead of the most likely ones.
    """
    return {name: outcomes_of(run, name, drawn=drawn) for name in (AS_TRAINED, *categories_in(run))}


def levels_csv(run: RunData) -> str:
    """The text of the file: a row for each metric of everyone in each category, ``micro`` and ``macro``."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_HEADER)
    for actions, drawn in (("likely", False), ("drawn", True)):
        for who in solved_in(run, drawn=drawn):
            parts = {**who.metrics.categories, "micro": who.metrics.micro, "macro": who.metrics.macro}
            for over, estimates in parts.items():
                for metric, found in estimates.items():
                    bounds = (found.value, found.low, found.high, found.n)
                    rows.writerow([actions, who.label, over, metric, *bounds])
    return text.getvalue()
