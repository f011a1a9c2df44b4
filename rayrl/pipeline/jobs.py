"""Units as Ray Jobs: submitted once, watched to their end, found again by a controller that was killed.

Ids are ``<run>-<unit>-<attempt>``. An attempt of this run that is still alive is watched, not submitted
again; one that failed or was stopped is followed by the next, since Ray refuses an id that was used. What a
job's state is, only ``get_job_info`` says; what it printed is copied to ``logs/<unit>.log`` as well as that
goes. The job's process asks for no CPU and no GPU: trials do.
"""

from __future__ import annotations

import logging
import math
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.job_submission import JobDetails, JobStatus

from rayrl.config import Config
from rayrl.errors import ConfigError, RunError, StageError
from rayrl.pipeline import spinning, stage_error
from rayrl.pipeline.cluster import JobsClient
from rayrl.pipeline.cluster_probe import interpreter, probe
from rayrl.pipeline.job_log import JobLog
from rayrl.pipeline.private_ray import STOP_WAIT_S
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.records import RecordReader
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import StageUnit
from rayrl.pipeline.working_dir import Package, in_place
from rayrl.storage.atomic import read_json, write_json
from rayrl.storage.manifest import MANIFEST_FILE

_UNREACHABLE_TIMEOUT_S = 60.0
"""Seconds for which the dashboard may fail to answer, before the run fails."""
_POLL_S = 0.3
_RETRIES = 3
"""How often a job of one architecture is submitted again whose process was killed."""
_SIGNALLED = 128
"""Exit code of a shell whose command was ended by a signal, less the signal's number."""
_log = logging.getLogger(__name__)


class JobRecord(Config):
    """The newest attempt of a unit."""

    submission_id: str
    attempt: int


class JobRunner:
    """Runs units as Ray Jobs, one after the other.

    Args:
        client: the cluster's Jobs API.
        folder: the run folder, on a file system that the cluster shares.
        view: told of each job, and of what it records.
        package: what of the working directory is sent along; None where nothing is needed of it.
        is_here: whether the cluster is this machine, which has this interpreter, the scripts in ``jobs/`` and
            the working directory itself.
        check: called several times a second while a job runs; raises when the cluster is gone.
    """

    def __init__(
        self,
        client: JobsClient,
        folder: RunFolder,
        view: RunView,
        *,
        package: Package | None = None,
        is_here: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._folder = folder
        self._view = view
        self._package = package
        self._is_here = is_here
        self._check = check

    def require_shared(self, first: StageUnit, signature: str) -> None:
        """Makes sure that the nodes of a cluster that is not this machine share the run folder.

        They have been asked where a job of the run is there already.

        Args:
            first: the unit that is to run first.
            signature: digest of its inputs and options.

        Raises:
            StorageError: nodes do not, naming them.
            RunError: a job of the run still runs with other options.
            RayrlError: the cluster cannot run rayrl, or not import the environment's module.
        """
        if not self._is_here and self._find(first, signature) is None:
            probe(self._client, self._folder, self._environment(first.kind.script), self._view)

    def run(self, unit: StageUnit, signature: str) -> bool:
        """Runs a unit to its end; whether it is done, or stopped on request.

        Args:
            unit: the unit.
            signature: digest of its inputs and options.

        Raises:
            RayrlError: what the unit's process raised.
            StageError: the job ended otherwise, or is done without having written its manifest.
            RunError: the cluster does not answer any more.
        """
        found = self._find(unit, signature)
        if found:
            self._view.job(unit, found, found=True)
        info = self._wait(unit, found or self._submit(unit, signature))
        if found and info.status == JobStatus.STOPPED and not self._folder.stop_file.exists():
            # Whoever stopped it did so before this controller came.
            info = self._wait(unit, self._submit(unit, signature))
        for _ in range(_RETRIES):
            # What one architecture's job leaves undone, the others must not pay for.
            if unit.architecture is None or not self._was_killed(info):
                break
            self._view.say(f"{unit.name}: its process was killed; the next attempt goes on")
            info = self._wait(unit, self._submit(unit, signature))
        return self._outcome(unit, info)

    def _was_killed(self, info: JobDetails) -> bool:
        """Whether a job's process was ended by a signal that nobody of this run sent."""
        failed = info.status == JobStatus.FAILED and not self._folder.stop_file.exists()
        code = info.driver_exit_code or 0
        # Negative as Python tells it, above 128 as a shell does.
        return failed and (code < 0 or code > _SIGNALLED)

    def _wait(self, unit: StageUnit, submission_id: str) -> JobDetails:
        try:
            return self._watch(unit, submission_id)
        except KeyboardInterrupt:
            self._stop(submission_id)
            raise

    def _find(self, unit: StageUnit, signature: str) -> str | None:
        """The unit's job of this run that is still alive, if there is one."""
        record = self._record(unit)
        info = self._client.find_job(record.submission_id) if record else None
        if info is None or info.status.is_terminal():
            return None
        metadata = info.metadata or {}
        if metadata.get("run") != self._folder.record.run_id:
            return None
        if metadata.get("signature") != signature:
            raise RunError(
                f"job {info.submission_id} of this run still runs with other options",
                where=str(self._folder),
                remedy=f"wait until it ends, or end it with `rayrl stop {self._folder}`",
            )
        return str(info.submission_id)

    def _submit(self, unit: StageUnit, signature: str) -> str:
        """Submits the unit's next attempt."""
        record, run_id = self._record(unit), self._folder.record.run_id
        attempt = record.attempt + 1 if record else 1
        while self._client.find_job(submission_id := f"{run_id}-{unit.name}-{attempt}") is not None:
            attempt += 1
        # Noted before it is submitted: a controller that is killed in between must find it.
        made = JobRecord(submission_id=submission_id, attempt=attempt)
        write_json(self._record_file(unit), made.model_dump(), "the job's record")
        self._client.submit(
            entrypoint=command(unit, self._folder, is_here=self._is_here),
            submission_id=submission_id,
            metadata={"run": run_id, "folder": str(self._folder), "stage": unit.name, "signature": signature},
            runtime_env=self._environment(unit.kind.script),
        )
        self._view.job(unit, submission_id, found=False)
        return submission_id

    def _environment(self, script: Path | None) -> dict[str, Any]:
        """The runtime environment of a job.

        Args:
            script: the job's, if its stage has one of its own: workers import what stands beside it, as it
                does. Ray sees to that only where there is no working directory.
        """
        paths = [*([str(script.parent)] if script else []), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment: dict[str, Any] = {
            "env_vars": {
                "PYTHONPATH": os.pathsep.join(paths),
                "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
                spinning.VARIABLE: spinning.spin_count(),
            }
        }
        if self._is_here:
            environment["working_dir"] = in_place(Path.cwd())
        elif self._package:
            # Each time anew: a cluster forgets what no job uses.
            environment["working_dir"] = self._client.send(self._package)
        return environment

    def _watch(self, unit: StageUnit, submission_id: str) -> JobDetails:
        """Waits until a job has ended, copying its output meanwhile."""
        records = RecordReader(self._folder.logs / f"{unit.name}.jsonl", from_end=True)
        answered, stopping_since = time.monotonic(), None
        with JobLog(self._client, submission_id, self._folder.logs / f"{unit.name}.log"):
            while True:
                self._check()
                for record in records.read():
                    self._view.record(unit, record)
                now = time.monotonic()
                try:
                    info = self._client.find_job(submission_id)
                    answered = now
                except RunError:
                    if now - answered > _UNREACHABLE_TIMEOUT_S:
                        raise
                else:
                    if info is None:
                        raise StageError("the cluster does not know the job any more", where=submission_id)
                    if info.status.is_terminal():
                        return info
                if stopping_since is None and self._folder.stop_file.exists():
                    stopping_since = now
                if stopping_since is not None and now - stopping_since > STOP_WAIT_S:
                    stopping_since = math.inf
                    self._stop(submission_id)
                time.sleep(_POLL_S)

    def _outcome(self, unit: StageUnit, info: JobDetails) -> bool:
        stopping, log = self._folder.stop_file.exists(), self._folder.logs / f"{unit.name}.log"
        where = f"stage {unit.name}"
        if info.status == JobStatus.SUCCEEDED:
            if (self._folder.stage(unit.name) / MANIFEST_FILE).exists():
                return True
            if stopping:
                return False
            raise StageError(
                f"job {info.submission_id} succeeded, but its manifest is not in {self._folder}",
                where=where,
                remedy="the run folder must lie on a file system that the cluster's nodes share",
            )
        if info.status == JobStatus.STOPPED and stopping:
            return False
        if error := stage_error.from_output(info.message or ""):
            raise error
        raise StageError(
            f"job {info.submission_id} {info.status.value.lower()} without saying why "
            f"(exit code {info.driver_exit_code}, {info.error_type or 'no error type'})",
            where=where,
            remedy=f"its log is {log}; the same command goes on with the next attempt",
        )

    def _stop(self, submission_id: str) -> None:
        try:
            self._client.stop_job(submission_id)
        except (RuntimeError, OSError) as error:
            _log.warning("job %s could not be stopped: %s", submission_id, error)

    def _record_file(self, unit: StageUnit) -> Path:
        return self._folder.stage(unit.name) / "job.json"

    def _record(self, unit: StageUnit) -> JobRecord | None:
        file = self._record_file(unit)
        if not file.exists():
            return None
        try:
            return JobRecord.parse(read_json(file, "the job's record"), where=str(file))
        except ConfigError as error:
            raise RunError(error.message, where=str(file), remedy="delete the file") from None


def command(unit: StageUnit, folder: RunFolder, *, is_here: bool = True) -> str:
    """The shell's command line that runs a unit of a run.

    Args:
        unit: the unit.
        folder: the run folder.
        is_here: whether it runs on this machine, with the scripts in ``jobs/``.
    """
    script = unit.kind.entry_point if is_here else unit.kind.script
    run = [str(script)] if script else ["-m", "rayrl.pipeline.entry", unit.kind.name]
    part = ["--architecture", unit.architecture] if unit.architecture else []
    part += ["--chunk", str(unit.chunk.number)] if unit.chunk else []
    arguments = [*run, str(folder.config_file), "--run-dir", str(folder), *part]
    return f"{interpreter(is_here=is_here)} {shlex.join(arguments)}"
