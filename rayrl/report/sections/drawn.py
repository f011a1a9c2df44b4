"""Policies whose actions are drawn from their distribution, beside their most likely actions."""

from __future__ import annotations

from collections.abc import Sequence

from rayrl.evaluation.comparison import are_paired
from rayrl.evaluation.result import RETURN, SUCCESS
from rayrl.report.html import element, join
from rayrl.report.levels import by_category, solved_in
from rayrl.report.outcomes import Outcome, Outcomes, candidates_of
from rayrl.report.run_data import RunData
from rayrl.report.sections.categories import Cell, category_table, of_metric
from rayrl.report.sections.levels import level_blocks
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import NOTHING, interval, signed

_METRICS = {SUCCESS: "Success rate", RETURN: "Mean return"}


def build(run: RunData) -> Sequence[Block]:
    """Success and return by category, with the difference to the most likely actions, and how levels went."""
    drawn, likely = by_category(run, drawn=True), by_category(run)
    note = (
        "The same episodes with actions that are drawn from the policies' distributions, as in training. "
        "Everything else on this page that is of evaluations is of their most likely actions."
    )
    blocks: list[Block] = [element("p", note, class_="note")]
    for metric, name in _METRICS.items():
        if any(row.has(metric) for found in drawn.values() for row in found.rows):
            caption = f"{name} with drawn actions and, below, its 95 % interval."
            blocks.append(category_table("", drawn, of_metric(metric), caption=caption))
            caption = (
                f"{name} with drawn actions less that with the most likely ones over the same episodes and, "
                "below, its 95 % interval."
            )
            blocks.append(category_table("", drawn, _difference(likely, metric), caption=caption))
    if solved := solved_in(run, drawn=True):
        blocks.append(element("h3", "How levels are solved with drawn actions"))
        blocks += level_blocks(solved, suffix="_drawn", title=", drawn actions")
    return blocks


def _difference(likely: dict[str, Outcomes], metric: str) -> Cell:
    """Cells of the difference to the same policies' most likely actions."""
    of_likely = {(category, row.label): row for category, found in likely.items() for row in found.rows}

    def cell(category: str, found: Outcomes, row: Outcome) -> str:
        other = of_likely.get((category, row.label))
        if other is None or not (row.has(metric) and other.has(metric)):
            return NOTHING
        if not are_paired([row.results[0], other.results[0]]):
            return NOTHING
        difference = row.difference(other, metric)
        return join([signed(difference), element("small", interval(difference))])

    return cell


SECTION = Section(
    "drawn",
    "Drawn actions",
    37,
    lambda run: bool([row for row in candidates_of(run, drawn=True) if row.results]),
    build,
)
