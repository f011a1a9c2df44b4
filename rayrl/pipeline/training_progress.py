"""``training_progress.json``: how far training is, chunk by chunk, for people and scripts.

It is made from what the trials write and kept for those who read it; nothing goes by it. An environment step
is a request where the environment is a router, hence the names.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rayrl.config import Config
from rayrl.pipeline.checkpoints import Checkpoints
from rayrl.pipeline.chunk_record import ChunkRecord, read_record
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import StageUnit, stage_kind, units_of
from rayrl.pipeline.trial_spec import TrialSpec, trials_of
from rayrl.storage.atomic import read_json, write_json

FILE = "training_progress.json"
_WHAT = "the progress of training"
_EVERY_S = 5.0

Status = Literal["running", "completed", "stopped", "failed"]


class ChunkProgress(Config):
    """How far one chunk is."""

    chunk_id: int
    """From 1."""
    status: Literal["waiting", "running", "completed", "stopped", "failed"]
    """``completed`` once all trials are."""
    requests: int
    """Environment steps of each trial in it."""
    trials_completed: int
    checkpoint: dict[str, str] = Field(default={})
    """Where each trial's training stood at its end, by trial, relative to the run folder; checkpoints rotate,
    so of chunks that are long over there is none."""
    memory_bytes: dict[str, int] = Field(default={})
    """Memory of each trial's processes at its end."""
    log_file: str
    timestamp: str | None = None
    """When it was completed."""


class ProgressRecord(Config):
    """How far training is."""

    total_chunks: int
    chunk_size: int
    total_requests: int
    """Environment steps of each trial, in all."""
    completed_chunks: int
    requests_done: int
    """Environment steps of the trial that is least far, as of its newest checkpoint."""
    latest_checkpoint: dict[str, str]
    """By trial, relative to the run folder."""
    start_time: str
    last_update: str
    end_time: str | None = None
    status: Status
    error_message: str | None = None
    output_dir: str
    config_file: str
    external_pretrain: str | None
    """The policy that training starts from, where one is given."""
    num_replicas: int | None
    qps: float | None
    chunks: tuple[ChunkProgress, ...]


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

    def write(self, status: Status, *, error: str | None = None) -> None:
        """Writes it anew.

        Args:
            status: of training as a whole.
            error: why it failed.

        Raises:
            StorageError: the disk is full or not writable.
            IntegrityError: the record of a chunk is damaged.
        """
        self._next = time.monotonic() + _EVERY_S
        now, before = datetime.now(UTC).isoformat(timespec="seconds"), read_progress(self._folder)
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
        write_json(self._folder.path / FILE, record.model_dump(), _WHAT)

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


def read_progress(folder: RunFolder) -> ProgressRecord | None:
    """What the file of a run says; None before training.

    Raises:
        IntegrityError: it is damaged.
    """
    file = folder.path / FILE
    if not file.exists():
        return None
    values: dict[str, Any] = read_json(file, _WHAT)
    return ProgressRecord.parse(values, where=str(file))
