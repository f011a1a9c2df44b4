"""Writes ``training_progress.json`` from what the trials have written: their checkpoints and records."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from rayrl.errors import ConfigError, IntegrityError, StorageError
from rayrl.pipeline.checkpoints import Checkpoints
from rayrl.pipeline.chunk_record import ChunkRecord, read_record
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.progress_record import (
    ChunkProgress,
    ProgressRecord,
    Status,
    read_progress,
    write_progress,
)
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import StageUnit, stage_kind, units_of
from rayrl.pipeline.trial_spec import TrialSpec, trials_of

_EVERY_S = 5.0

_log = logging.getLogger(__name__)


class TrainingProgress:
    """Writes the file.

    Args:
        folder: the run folder.
        experiment: the run's experiment.
    """

    def __init__(self, folder: RunFolder, experiment: Experiment) -> None:
        self._folder = folder
        self._experiment = experiment
        self._trials = list(trials_of(experiment))
        self._next = 0.0

    def refresh(self) -> None:
        """Writes it anew if it has been a while."""
        if time.monotonic() >= self._next:
            self.write("running")

    def fail(self, error: Exception) -> None:
        """Says that training failed, if the folder is not what is wrong."""
        try:
            self.write("failed", error=str(error))
        except StorageError as problem:
            _log.error("%s", problem)

    def _before(self) -> ProgressRecord | None:
        try:
            return read_progress(self._folder)
        except (IntegrityError, ConfigError) as error:
            _log.warning("the progress of training begins anew: %s", error)
            return None

    def write(self, status: Status, *, error: str | None = None) -> None:
        """Writes it anew.

        Args:
            status: of training as a whole.
            error: why it failed.

        Raises:
            StorageError: the disk is full or not writable.
        """
        self._next = time.monotonic() + _EVERY_S
        now, before = datetime.now(UTC).isoformat(timespec="seconds"), self._before()
        known = {chunk.chunk_id: chunk for chunk in before.chunks} if before else {}
        units = units_of(stage_kind("train"), self._experiment)
        chunks: list[ChunkProgress] = []
        for number, unit in enumerate(units, 1):
            is_next = all(chunk.status == "completed" for chunk in chunks)
            chunk = self._chunk(number, unit, known.get(number), now)
            if is_next and chunk.status != "completed":
                chunk = chunk.model_copy(update={"status": status})
            chunks.append(chunk)
        train, env = self._experiment.train, self._experiment.env.config
        start = self._experiment.pretrain.from_
        newest = {spec.name: self._checkpoints(spec) for spec in self._trials}
        record = ProgressRecord(
            total_chunks=len(chunks),
            chunk_size=train.chunk_ends[0],
            total_requests=train.total_steps,
            completed_chunks=sum(chunk.status == "completed" for chunk in chunks),
            requests_done=min(checkpoints.newest for checkpoints in newest.values()),
            latest_checkpoint={
                name: self._relative(checkpoints.path(checkpoints.newest))
                for name, checkpoints in newest.items()
                if checkpoints.newest
            },
            start_time=before.start_time if before else now,
            last_update=now,
            end_time=None if status == "running" else now,
            status=status,
            error_message=error,
            output_dir=str(self._folder),
            config_file=str(self._folder.config_file),
            external_pretrain=None if start is None else str(start),
            num_replicas=env.get("replicas"),
            qps=env.get("qps"),
            chunks=tuple(chunks),
        )
        write_progress(self._folder, record)

    def _chunk(self, number: int, unit: StageUnit, before: ChunkProgress | None, now: str) -> ChunkProgress:
        ends = self._experiment.train.chunk_ends
        start, end = (0, *ends)[number - 1], ends[number - 1]
        done: dict[str, ChunkRecord] = {}
        for spec in self._trials:
            record = read_record(spec.folder(self._folder), number)
            if record is not None and record.end == end:
                done[spec.name] = record
        completed = len(done) == len(self._trials)
        there = {spec.name: self._checkpoints(spec) for spec in self._trials}
        earlier = before.timestamp if before and before.status == "completed" else None
        return ChunkProgress(
            chunk_id=number,
            status="completed" if completed else "waiting",
            requests=end - start,
            trials_completed=len(done),
            checkpoint={
                name: self._relative(there[name].path(record.step))
                for name, record in done.items()
                if there[name].path(record.step).exists()
            },
            memory_bytes={
                name: record.memory_bytes for name, record in done.items() if record.memory_bytes is not None
            },
            log_file=self._relative(self._folder.logs / f"{unit.name}.log"),
            timestamp=(earlier or now) if completed else None,
        )

    def _checkpoints(self, spec: TrialSpec) -> Checkpoints:
        keep = self._experiment.train.keep_checkpoints
        return Checkpoints(spec.folder(self._folder) / "checkpoints", keep=keep)

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._folder.path))
