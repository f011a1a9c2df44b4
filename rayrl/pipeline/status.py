"""How far a run is, from its folder alone: no cluster is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rayrl.config import Config
from rayrl.errors import RunError
from rayrl.pipeline.execution import why_run
from rayrl.pipeline.failure import failed_in
from rayrl.pipeline.lock import holder_of
from rayrl.pipeline.private_ray import Access, ask_access
from rayrl.pipeline.records import last_records
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import StageUnit, plan
from rayrl.pipeline.trial import TrialState, read_trials

State = Literal["waiting", "running", "done", "stopped", "failed"]
_ENDINGS: dict[str, State] = {"failed": "failed", "stopped": "stopped"}


class UnitStatus(Config):
    """How far one unit is."""

    stage: str
    state: State
    detail: str
    """Its newest progress, or why it is not done."""


class RunStatus(Config):
    """How far a run is."""

    run: str
    folder: str
    controller: str | None
    """The process that runs it now; null when none does."""
    finished: str | None
    stages: tuple[UnitStatus, ...]
    trials: tuple[TrialState, ...]


def run_status(folder: RunFolder) -> RunStatus:
    """How far a run is.

    Raises:
        RunError: the folder holds no run.
        IntegrityError: something in it is damaged.
    """
    record, experiment = folder.record, folder.experiment()
    holder = holder_of(folder.lock_file)
    return RunStatus(
        run=record.run_id,
        folder=str(folder),
        controller=str(holder) if holder else None,
        finished=record.finished,
        stages=tuple(
            _unit_status(unit, folder, why_run(unit, folder, experiment)) for unit in plan(experiment)
        ),
        trials=tuple(_trials(folder)),
    )


def dashboard_access(folder: RunFolder) -> Access:
    """URL and token of a run's private Ray; for the user's own eyes only.

    Raises:
        RunError: the run has no private Ray on this machine now.
    """
    holder = holder_of(folder.lock_file)
    if holder is None or holder.ray_temp is None or not holder.is_here:
        raise RunError(
            "the run has no private Ray on this machine now",
            where=str(folder),
            remedy="a run with --address is in the dashboard of that cluster",
        )
    return ask_access(Path(holder.ray_temp))


def _trials(folder: RunFolder) -> list[TrialState]:
    """The trials; one that was killed could not note that it does not run any more."""
    trials = read_trials(folder)
    if any(holder_of(lock) for lock in folder.stage("train").parent.glob("train*/lock")):
        return trials
    return [
        trial.model_copy(update={"state": "stopped"}) if trial.state == "running" else trial
        for trial in trials
    ]


def _unit_status(unit: StageUnit, folder: RunFolder, reason: str | None) -> UnitStatus:
    if reason is None:
        return UnitStatus(stage=unit.name, state="done", detail="")
    records = last_records(folder.logs / f"{unit.name}.jsonl")
    events = [record for record in records if "event" in record]
    if holder_of(folder.stage(unit.name) / "lock"):
        return UnitStatus(stage=unit.name, state="running", detail=_newest_progress(events))
    state = _ENDINGS.get(events[-1]["event"], "waiting") if events else "waiting"
    if failed := failed_in(folder.stage(unit.name)):
        return UnitStatus(
            stage=unit.name, state="failed", detail=f"the rest is done: {', '.join(failed)} failed"
        )
    detail = str(events[-1]["message"]) if state == "failed" else reason
    return UnitStatus(stage=unit.name, state=state, detail=detail)


def _newest_progress(events: list[dict[str, Any]]) -> str:
    return next((str(event["message"]) for event in reversed(events) if event["event"] == "progress"), "")
