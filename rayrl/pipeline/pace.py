"""How fast a run goes: rates and remaining time, from what its stages and trials have written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rayrl.pipeline.records import last_records
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.trial import TrialState, trial_folder

_WINDOW_S = 60.0
"""Seconds over which a stage's rate is taken."""
_ITERATIONS = 10
"""Iterations over which a trial's rate is taken."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is done, and how fast."""

    done: float
    total: float
    unit: str
    """What is counted, in the plural."""
    rate: float | None = None
    """Units a second; None before there is anything to tell it from."""

    @property
    def left_s(self) -> float | None:
        """Seconds until all is done at this rate."""
        return (self.total - self.done) / self.rate if self.rate else None


def stage_pace(folder: RunFolder, unit: str) -> Pace | None:
    """The pace of a unit that runs; None before it has told of any progress."""
    records = last_records(folder.logs / f"{unit}.jsonl")
    starts = [index for index, record in enumerate(records) if record.get("event") == "started"]
    since = records[starts[-1] :] if starts else records
    return _pace([record for record in since if record.get("event") == "progress"])


def trial_pace(folder: RunFolder, trial: TrialState) -> tuple[Pace, float | None]:
    """The pace of a trial, in environment steps, and its newest mean return."""
    home = trial_folder(folder, trial.architecture, trial.condition, trial.seed)
    lines = last_records(home / "progress.jsonl")
    step = lines[-1]["step"] if lines else trial.step
    newest = lines[-1].get("episode_return_mean") if lines else trial.metrics.get("episode_return_mean")
    recent = lines[-_ITERATIONS - 1 :]
    seconds = sum(line["seconds"]["total"] for line in recent[1:])
    rate = (recent[-1]["step"] - recent[0]["step"]) / seconds if seconds else None
    return Pace(step, trial.total_steps, "steps", rate), newest


def _pace(records: Sequence[dict[str, Any]]) -> Pace | None:
    if not records:
        return None
    last = records[-1]
    end = _seconds(last)
    first = next(record for record in records if end - _seconds(record) <= _WINDOW_S)
    elapsed, gained = end - _seconds(first), last["done"] - first["done"]
    rate = gained / elapsed if elapsed > 0 and gained > 0 else None
    return Pace(last["done"], last["total"], last["unit"], rate)


def _seconds(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["time"]).timestamp()
