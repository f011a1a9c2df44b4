"""What the commands print as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rayrl.doctor.finding import Finding
from rayrl.pipeline.status import RunStatus

_CHECK = 24
"""Width of the column with what was looked at."""
_UNBOUNDED = 10_000
"""Columns of a terminal that cuts off no table."""
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def print_whole(console: Console, table: Table) -> None:
    """Prints a table in the width that it takes: names and numbers that are cut off cannot be told apart."""
    wanted = console.measure(table, options=console.options.update(max_width=_UNBOUNDED)).maximum
    console.width = max(wanted, console.width)
    console.print(table)


def print_status(status: RunStatus) -> None:
    """Prints how far a run's stages and trials are."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    by = f"run by {status.controller}" if status.controller else "no process runs it"
    console.print(f"{status.run}: {'finished ' + status.finished if status.finished else by}")
    stages = Table("stage", "state", "", box=None)
    for stage in status.stages:
        stages.add_row(stage.stage, stage.state, stage.detail)
    console.print(stages)
    if not status.trials:
        return
    trials = Table("architecture", "condition", "seed", "state", "step", "resumed from", box=None)
    for trial in status.trials:
        resumed = ", ".join(f"{step:,}" for step in trial.resumed_from)
        step = f"{trial.step:,} of {trial.total_steps:,}"
        trials.add_row(trial.architecture, trial.condition, str(trial.seed), trial.state, step, resumed)
    console.print(trials)


def print_finding(finding: Finding) -> None:
    """Prints one thing that was looked at, and what to do about it."""
    console = Console(highlight=False, soft_wrap=True)
    line = Text(f"{finding.check:<{_CHECK}}")
    line.append(f"{finding.state:<9}", style=_STYLES[finding.state])
    console.print(line.append(finding.message))
    if finding.remedy:
        console.print(Text(f"{'':<{_CHECK + 9}}{finding.remedy}"))


def print_facts(facts: Mapping[str, Any]) -> None:
    """Prints names and values, of nested ones each on a line of its own."""
    console = Console(highlight=False, soft_wrap=True)
    for name, value in facts.items():
        inner = value if isinstance(value, Mapping) else {}
        shown = "" if inner else "–" if value in (None, {}) else str(value)
        console.print(Text(f"{name:<30}{shown}".rstrip()))
        for key, item in inner.items():
            console.print(Text(f"  {key:<42}{item}"))
