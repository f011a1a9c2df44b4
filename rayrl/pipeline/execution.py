"""Runs one unit in this process: from the manifests that it builds on to the one that marks it as done."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rayrl.errors import RayrlError, StageError
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.failure import failed_in
from rayrl.pipeline.lock import hold
from rayrl.pipeline.records import ROOT, recorded
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import StageUnit, consumed_by, load, plan
from rayrl.storage.atomic import storage_errors
from rayrl.storage.hashing import sha256_json
from rayrl.storage.manifest import MANIFEST_FILE, read_manifest, reason_to_run, verify_outputs, write_manifest

_LOCK_TIMEOUT_S = 30.0
"""A job that was killed may take a moment to end, before the next attempt may write."""
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def why_run(unit: StageUnit, folder: RunFolder, experiment: Experiment) -> str | None:
    """Why a unit has to run, in words; None when it is done with the same inputs and options.

    Raises:
        IntegrityError: a manifest is damaged or of a version that is not known.
    """
    missing = [
        other.name
        for other in consumed_by(unit, plan(experiment))
        if not (folder.stage(other.name) / MANIFEST_FILE).exists()
    ]
    if missing:
        return f"{', '.join(missing)} {'has' if len(missing) == 1 else 'have'} not finished yet"
    reason = reason_to_run(
        folder.stage(unit.name),
        inputs=_inputs(unit, folder, experiment),
        options=unit.options(folder.config),
    )
    if reason is None and (failed := failed_in(folder.stage(unit.name))):
        return f"{', '.join(failed)} failed before"
    if reason is None and unit.kind.lost is not None:
        reason = load(unit.kind.lost)(unit, folder, experiment)
    return reason


def signature(unit: StageUnit, folder: RunFolder, experiment: Experiment) -> str:
    """Digest of a unit's inputs and options: a job that was submitted with another one does other work."""
    return sha256_json([_inputs(unit, folder, experiment), unit.options(folder.config)])


def require_inputs(unit: StageUnit, folder: RunFolder, experiment: Experiment) -> None:
    """Makes sure that what a unit builds on is done.

    Raises:
        StageError: it is not.
    """
    for other in consumed_by(unit, plan(experiment)):
        if not (folder.stage(other.name) / MANIFEST_FILE).exists():
            raise StageError(
                f"it builds on {other.name}, which has not finished",
                where=f"stage {unit.name}",
                remedy=f"run `rayrl stage {other.kind.name}` first, or `rayrl run`",
            )


def run_unit(
    unit: StageUnit,
    folder: RunFolder,
    experiment: Experiment,
    *,
    interrupted: Callable[[], bool] = lambda: False,
    local: bool = False,
) -> bool:
    """Runs a unit; whether it is done, or was asked to stop and can go on later.

    Args:
        unit: the unit.
        folder: the run folder, prepared.
        experiment: the run's experiment.
        interrupted: whether the process was asked to end by a signal.
        local: keep everything in this process, for debugging.

    Raises:
        StageError: a unit that it builds on is not done, or it ended early without being asked to.
        RunLockedError: another process runs the same unit.
        IntegrityError: an output of a unit that it builds on is missing or altered.
        StorageError: the disk is full.
        RayrlError: what its function raised; another exception is the cause of a ``StageError``.
    """
    home, start = folder.stage(unit.name), time.monotonic()
    with hold(home / "lock", timeout_s=_LOCK_TIMEOUT_S), _recorded(folder, unit) as log, _disk_errors(folder):
        require_inputs(unit, folder, experiment)
        for other in consumed_by(unit, plan(experiment)):
            verify_outputs(folder.stage(other.name))
        (home / MANIFEST_FILE).unlink(missing_ok=True)
        context = StageContext(experiment, folder, unit, interrupted=interrupted, local=local)
        outputs: StageOutputs | None = load(unit.kind.run)(context)
        if outputs is None:
            if not context.stop_requested():
                raise StageError("it ended early without being asked to", where=f"stage {unit.name}")
            log.info("stopped on request", extra={"fields": {"event": "stopped"}})
            return False
        write_manifest(
            home,
            name=unit.name,
            inputs=_inputs(unit, folder, experiment),
            options=unit.options(folder.config),
            outputs=[os.path.relpath(file, home) for file in outputs.files],
            extra=outputs.extra,
        )
        seconds = round(time.monotonic() - start, 3)
        log.info("finished in %.1f s", seconds, extra={"fields": {"event": "finished", "seconds": seconds}})
    return True


def _inputs(unit: StageUnit, folder: RunFolder, experiment: Experiment) -> dict[str, str]:
    return {
        other.name: read_manifest(folder.stage(other.name)).outputs_sha256
        for other in consumed_by(unit, plan(experiment))
    }


@contextmanager
def _recorded(folder: RunFolder, unit: StageUnit) -> Iterator[logging.Logger]:
    """Writes what rayrl logs within the block into the unit's records, from its start to how it ended."""
    log, records = logging.getLogger(f"{ROOT}.{unit.kind.name}"), folder.logs / f"{unit.name}.jsonl"
    with recorded(records, run=folder.record.run_id):
        try:
            started = {"event": "started", "pid": os.getpid(), "host": socket.gethostname()}
            log.info("started", extra={"fields": started})
            yield log
        except Exception as raised:
            cause = _cause(raised)
            if isinstance(cause, RayrlError):
                error, trace = cause, None
            else:
                error, trace = _unexpected(cause, unit, records), raised
            log.error("failed: %s", error, extra={"fields": {"event": "failed"}}, exc_info=trace)
            if error is raised:
                raise
            raise error from raised


def _unexpected(error: Exception, unit: StageUnit, records: Path) -> StageError:
    text, remedy = f"{type(error).__name__}: {error}", f"the traceback is in {records}"
    return StageError(text, where=f"stage {unit.name}", remedy=remedy)


def _cause(error: Exception) -> Exception:
    """What was raised where it happened, when Ray brought it here from another process."""
    while isinstance(cause := getattr(error, "cause", None), Exception):
        error = cause
    return error


@contextmanager
def _disk_errors(folder: RunFolder) -> Iterator[None]:
    """Names the disk when it is full, wherever in a stage that was noticed."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_IS_FULL:
            raise
        with storage_errors(folder.path, "what the stage produces"):
            raise
