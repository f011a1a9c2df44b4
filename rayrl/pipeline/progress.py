"""What a run says on the terminal: bars where there is one, plain lines where the output is piped."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from rayrl.pipeline.lock import Holder
from rayrl.pipeline.records import ROOT
from rayrl.pipeline.stages import StageUnit

_PLAIN_EVERY_S = 10.0
_log = logging.getLogger(f"{ROOT}.run")


class RunView:
    """Tells the user, and the run's records, what the controller does and how far the stages are.

    Args:
        console: where to; standard output when not given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        if self._console.is_terminal:
            columns = TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.description}")
            self._bars = Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)
        self._bar: TaskID | None = None
        self._next_plain = 0.0

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def say(self, text: str, **fields: Any) -> None:
        """One line.

        Args:
            text: the line.
            fields: what else the run's records shall hold.
        """
        self._console.print(text, markup=False)
        _log.info("%s", text, extra={"fields": fields})

    @property
    def can_ask(self) -> bool:
        """Whether there is a terminal to ask on."""
        return self._console.is_terminal and sys.stdin.isatty()

    def ask(self, question: str, choices: Sequence[str], *, default: str) -> str:
        """Has the user choose; the default is taken for an empty answer, and where the input ends.

        Args:
            question: what it is about.
            choices: what can be chosen, in words.
            default: one of them.
        """
        if self._bars:
            self._bars.stop()
        lines = [f"  {number}  {choice}" for number, choice in enumerate(choices, 1)]
        self._console.print("\n".join([f"{question}:", *lines]), markup=False)
        chosen = None
        while chosen is None:
            try:
                text = self._console.input(f"which (1 to {len(choices)}; {choices.index(default) + 1}): ")
            except EOFError:
                text = ""
            if not text.strip():
                chosen = default
            elif text.strip().isdecimal() and 1 <= int(text) <= len(choices):
                chosen = choices[int(text) - 1]
        if self._bars:
            self._bars.start()
        self.say(f"chosen: {chosen}", event="chosen")
        return chosen

    def waiting(self, holder: Holder | None) -> None:
        """Another process runs this run already."""
        self.say(f"waiting: the run folder is held by {holder or 'another process'}", event="waiting")

    def skipped(self, unit: StageUnit) -> None:
        """A unit is done already."""
        self.say(f"{unit.name}: done already", event="skipped", stage=unit.name)

    def started(self, unit: StageUnit, reason: str) -> None:
        """A unit runs."""
        part = f" of {unit.chunk.of}" if unit.chunk else ""
        self.say(
            f"{unit.name}{part}: runs, because {reason}", event="started", stage=unit.name, reason=reason
        )
        self._next_plain = time.monotonic() + _PLAIN_EVERY_S
        if self._bars:
            self._bar = self._bars.add_task("starting", total=None, name=unit.name)

    def job(self, unit: StageUnit, submission_id: str, found: bool) -> None:
        """A unit's job was submitted, or found."""
        how = "found running" if found else "submitted"
        self.say(f"{unit.name}: job {submission_id} {how}", event="job", stage=unit.name, job=submission_id)

    def record(self, unit: StageUnit, record: dict[str, Any]) -> None:
        """A running unit wrote a record; warnings and the newest progress are shown."""
        if record.get("event") == "warning":
            self._console.print(f"{unit.name}: warning: {record['message']}", markup=False)
        if record.get("event") != "progress":
            return
        if self._bars and self._bar is not None:
            self._bars.update(
                self._bar, completed=record["done"], total=record["total"], description=record["message"]
            )
        elif time.monotonic() >= self._next_plain:
            self._next_plain = time.monotonic() + _PLAIN_EVERY_S
            self._console.print(f"{unit.name}: {record['message']}", markup=False)

    @contextmanager
    def records_of(self, unit: StageUnit) -> Iterator[None]:
        """Shows what a unit records that runs in this process, for the length of a block."""
        root, shown = logging.getLogger(ROOT), _Shown(self, unit)
        root.addHandler(shown)
        try:
            yield
        finally:
            root.removeHandler(shown)

    def ended(self, unit: StageUnit, how: str, seconds: float) -> None:
        """A unit has ended."""
        if self._bars and self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None
        self.say(f"{unit.name}: {how} after {seconds:.1f} s", event=how, stage=unit.name, seconds=seconds)


class _Shown(logging.Handler):
    """Shows what a unit records on the terminal."""

    def __init__(self, view: RunView, unit: StageUnit) -> None:
        super().__init__()
        self._view = view
        self._unit = unit

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        self._view.record(self._unit, {"message": record.getMessage(), **fields})
