"""What ``rayrl compare`` prints at its end."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rayrl.cli.tables import print_whole
from rayrl.comparison.criteria import COSTS
from rayrl.comparison.quantities import quantity
from rayrl.comparison.record import FILE, Comparison
from rayrl.report.build import FOLDER
from rayrl.report.outcomes import condition_name
from rayrl.report.text import NOTHING, interval, number, percent
from rayrl.storage.atomic import read_json


def print_comparison(run_dir: Path) -> None:
    """Prints the candidates of a run, best first, and the recommendation.

    Raises:
        IntegrityError: the record of the comparison is damaged.
    """
    console = Console(highlight=False, soft_wrap=True)
    file = run_dir / FOLDER / FILE
    if not file.exists():
        console.print("nothing to compare: fewer than two architectures or conditions have results")
        return
    comparison = Comparison.parse(read_json(file, "the comparison"), where=str(file))
    print_whole(console, _table(comparison))
    for text in comparison.warnings:
        console.print(Text(f"warning: {text}"))
    for sentence in comparison.recommendation:
        console.print(Text(sentence))


def _table(comparison: Comparison) -> Table:
    """A row for each candidate, with the costs that are known of any."""
    costs = [
        cost
        for cost in COSTS
        if any(candidate.criteria[cost].value is not None for candidate in comparison.candidates)
    ]
    table = Table(box=None)
    for heading in ("rank", "architecture", "condition", comparison.measure, "95 % interval"):
        table.add_column(heading, justify="left" if heading in ("architecture", "condition") else "right")
    for heading in (*(cost.label for cost in costs), "total", "first in"):
        table.add_column(heading, justify="right")
    for standing in comparison.decision.standings:
        candidate = comparison.candidate(standing.label)
        value = candidate.mean.value
        decimals = None if comparison.measure == "return" else 3
        table.add_row(
            str(standing.rank),
            candidate.architecture,
            condition_name(candidate.condition),
            number(value, decimals),
            interval(candidate.mean),
            *(quantity(cost, candidate.criteria[cost].value, comparison.measure) for cost in costs),
            number(standing.total, 3),
            NOTHING if standing.first is None else percent(standing.first),
        )
    return table
