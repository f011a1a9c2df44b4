"""How far a command is, on standard error: a bar on a terminal, a line now and then where it is piped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rayrl.experience.stored.opening import Progress as Report

_PLAIN_EVERY_S = 10.0


@contextmanager
def progress(what: str, unit: str) -> Iterator[Report]:
    """Shows how much is done while the block runs; what takes no time says nothing.

    Args:
        what: is done, as in "reading".
        unit: what is counted: ``steps`` or ``bytes``.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task(what)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    due = time.monotonic() + _PLAIN_EVERY_S

    def report(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _PLAIN_EVERY_S
            console.print(f"{what}: {done:,} of {total:,} {unit}", markup=False)

    yield report
