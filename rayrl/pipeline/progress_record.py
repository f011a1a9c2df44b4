"""What ``training_progress.json`` says: how far training is, chunk by chunk, for people and scripts.

Nothing goes by it. An environment step is a request where the environment is a router, hence the names.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from rayrl.config import Config
from rayrl.errors import ConfigError, IntegrityError, StorageError
from rayrl.pipeline.run_folder import RunFolder
from rayrl.storage.atomic import read_json, write_json

_log = logging.getLogger(__name__)

FILE = "training_progress.json"
_WHAT = "the progress of training"

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


def write_progress(folder: RunFolder, record: ProgressRecord) -> None:
    """Replaces the file.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_json(folder.path / FILE, record.model_dump(), _WHAT)


def note_end(folder: RunFolder, status: Literal["stopped", "failed"], error: str | None) -> None:
    """Says how training ended where its own process could not: there it still runs.

    A file that cannot be read or written is logged only, since the caller has more to tell.

    Args:
        folder: the run folder.
        status: how it ended.
        error: why it failed.
    """
    try:
        _note_end(folder, status, error)
    except (ConfigError, IntegrityError, StorageError) as problem:
        _log.warning("%s", problem)


def _note_end(folder: RunFolder, status: Literal["stopped", "failed"], error: str | None) -> None:
    told = read_progress(folder)
    if told is None or told.status != "running":
        return
    chunks = tuple(
        chunk.model_copy(update={"status": status}) if chunk.status == "running" else chunk
        for chunk in told.chunks
    )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    ended = {"status": status, "error_message": error, "last_update": now, "end_time": now, "chunks": chunks}
    write_progress(folder, told.model_copy(update=ended))
