"""``rayrl watch``: a run's stages and trials as they go, in place on a terminal, in lines when piped."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rayrl.errors import RunError
from rayrl.pipeline.pace import Pace, stage_pace, trial_pace
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.status import RunStatus, UnitStatus, run_status
from rayrl.pipeline.trial import TrialState

_EVERY_S = 1.0
_PLAIN_EVERY_S = 10.0
_BAR_WIDTH = 16
_STYLES = {"done": "green", "finished": "green", "running": "cyan", "failed": "bold red", "stopped": "yellow"}
_ORDER = ("failed", "running", "stopped", "finished")
_LINES_AROUND = 6
"""Lines of a view besides its stages and trials."""


def watch(folder: RunFolder, console: Console | None = None) -> RunStatus:
    """Shows a run until it has ended.

    Args:
        folder: the run folder.
        console: where to; standard output when not given.

    Returns:
        How it ended: finished.

    Raises:
        RunError: the folder holds no run, or the run ended, or had ended, without being finished.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    status = run_status(folder)
    if console.is_terminal:
        with Live(_view(folder, status, console), console=console, auto_refresh=False) as live:
            while _goes_on(status):
                time.sleep(_EVERY_S)
                status = run_status(folder)
                live.update(_view(folder, status, console), refresh=True)
    else:
        lines = _Lines(folder, console)
        lines.show(status)
        while _goes_on(status):
            time.sleep(_EVERY_S)
            status = run_status(folder)
            lines.show(status)
    if not status.finished:
        raise RunError(f"the run ended without being finished: {_why(status)}", where=str(folder))
    return status


def _goes_on(status: RunStatus) -> bool:
    return not status.finished and (
        status.controller is not None or any(stage.state == "running" for stage in status.stages)
    )


def _why(status: RunStatus) -> str:
    for stage in status.stages:
        if stage.state in ("failed", "stopped"):
            return f"{stage.stage} {stage.state}" + (f": {stage.detail}" if stage.state == "failed" else "")
    return "no process runs it; `rayrl run` with the same file goes on"


class _Lines:
    """Says what is new, one line each."""

    def __init__(self, folder: RunFolder, console: Console) -> None:
        self._folder = folder
        self._console = console
        self._stages: dict[str, str] = {}
        self._trials: dict[str, str] = {}
        self._next = 0.0
        self._last = ""

    def show(self, status: RunStatus) -> None:
        now = time.monotonic()
        for stage in status.stages:
            if self._stages.get(stage.stage) != stage.state:
                self._stages[stage.stage] = stage.state
                self._say(f"{stage.stage}: {stage.state}")
        for trial in status.trials:
            name = _name(trial)
            if self._trials.get(name) != trial.state:
                self._trials[name] = trial.state
                self._say(f"{name}: {trial.state}, {trial.step:,} of {trial.total_steps:,} steps")
        if now >= self._next:
            self._next = now + _PLAIN_EVERY_S
            for stage in status.stages:
                if stage.state == "running" and (pace := stage_pace(self._folder, stage.stage)):
                    self._say(f"{stage.stage}: {_pace_text(pace)}")

    def _say(self, text: str) -> None:
        if text == self._last:
            return
        self._last = text
        self._console.print(text, markup=False)


def _view(folder: RunFolder, status: RunStatus, console: Console) -> RenderableType:
    by = f"run by {status.controller}" if status.controller else "no process runs it"
    head = Text(f"{status.run}: {'finished ' + status.finished if status.finished else by}", style="bold")
    stages = Table("stage", "state", "", "", box=None, pad_edge=False)
    for stage in status.stages:
        stages.add_row(*_stage_row(folder, stage))
    parts: list[RenderableType] = [head, stages]
    if status.trials:
        room = max(3, console.height - _LINES_AROUND - len(status.stages))
        parts += [Text(), *_trials_table(folder, status.trials, room)]
    return Group(*parts)


def _stage_row(folder: RunFolder, stage: UnitStatus) -> list[RenderableType]:
    state = Text(stage.state, style=_STYLES.get(stage.state, ""))
    pace = stage_pace(folder, stage.stage) if stage.state == "running" else None
    if pace is None:
        detail = stage.detail if stage.state in ("failed", "running") else ""
        return [stage.stage, state, "", Text(detail)]
    return [stage.stage, state, _bar(pace), _pace_text(pace)]


def _trials_table(folder: RunFolder, trials: Sequence[TrialState], room: int) -> list[RenderableType]:
    """The trials that there is room for: those that failed or run first."""
    table = Table("trial", "state", "", "steps", "return", "steps/s", "left", box=None, pad_edge=False)
    for column in table.columns[3:]:
        column.justify = "right"
    chosen = sorted(trials, key=lambda trial: _ORDER.index(trial.state))[:room]
    for trial in [trial for trial in trials if trial in chosen]:
        pace, mean = trial_pace(folder, trial)
        runs = trial.state == "running"
        table.add_row(
            _name(trial),
            Text(trial.state, style=_STYLES.get(trial.state, "")),
            _bar(pace),
            f"{pace.done:,.0f} of {pace.total:,.0f}",
            "" if mean is None else f"{mean:,.4g}",
            f"{pace.rate:,.0f}" if runs and pace.rate else "",
            _duration(pace.left_s) if runs else "",
        )
    left_out = len(trials) - len(chosen)
    return [table, *([Text(f"and {left_out} more")] if left_out else [])]


def _bar(pace: Pace) -> ProgressBar:
    return ProgressBar(total=pace.total, completed=min(pace.done, pace.total), width=_BAR_WIDTH)


def _pace_text(pace: Pace) -> str:
    text = f"{pace.done:,.0f} of {pace.total:,.0f} {pace.unit}"
    if pace.rate:
        text += (
            f", {pace.rate:,.3g} {pace.unit}/s" if pace.rate < 100 else f", {pace.rate:,.0f} {pace.unit}/s"
        )
        text += f", {_duration(pace.left_s)} left"
    return text


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _name(trial: TrialState) -> str:
    return f"{trial.architecture}-{trial.condition}-seed_{trial.seed}"
