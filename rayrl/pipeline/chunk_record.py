"""What a trial left at the end of a chunk: ``<trial>/chunks/chunk_<n>.json``.

An uncut training is one chunk.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from rayrl.config import Config
from rayrl.errors import ConfigError, IntegrityError
from rayrl.storage.atomic import read_json, write_json

FOLDER = "chunks"
_WHAT = "the record of a chunk"
_GROWTH = 1.1
"""Of the memory at the first chunk's end, from which on it is said."""
_GROWTH_WITHIN = 1.5
"""The same within one chunk, from its first iteration on."""
_LEAST_BYTES = 256 * 2**20
"""Growth of less is not worth a word within one chunk: much is allocated in the first minutes."""

_log = logging.getLogger(__name__)


class ChunkRecord(Config):
    """How a trial ended a chunk."""

    chunk: PositiveInt
    end: PositiveInt
    """Environment steps at which the chunk was to end."""
    step: NonNegativeInt
    """Those at which it did, an iteration's end."""
    exact: bool
    memory_start_bytes: int | None = None
    """Memory of the trial's processes after their first iteration; null where they had nothing to do."""
    memory_bytes: int | None = None
    """The same at the end."""
    weights_sha256: str | None = None
    """Of the policy, where training ended with the chunk."""


def record_file(trial: Path, chunk: int) -> Path:
    """Where a trial's record of a chunk is.

    Args:
        trial: the trial's folder.
        chunk: the chunk's number, from 1.
    """
    return trial / FOLDER / f"chunk_{chunk}.json"


def read_record(trial: Path, chunk: int) -> ChunkRecord | None:
    """A trial's record of a chunk; None before its end, and where it is damaged, which is logged."""
    file = record_file(trial, chunk)
    try:
        return ChunkRecord.parse(read_json(file, _WHAT), where=str(file)) if file.exists() else None
    except (ConfigError, IntegrityError) as error:
        _log.warning("a summary of what checkpoints say is passed over: %s", error)
        return None


def write_record(trial: Path, record: ChunkRecord) -> None:
    """Replaces a trial's record of a chunk.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_json(record_file(trial, record.chunk), record.model_dump(), _WHAT)


def memory_growth(record: ChunkRecord, first: ChunkRecord | None, *, replay: bool) -> str | None:
    """What to say of a trial whose memory grows, with the option to change; None where it does not.

    Args:
        record: of the chunk that has ended.
        first: of the first chunk; None where that is this one, or is not known.
        replay: whether the trial keeps a replay buffer.
    """
    end, start = record.memory_bytes, record.memory_start_bytes
    if end is None:
        return None
    known = first.memory_bytes if first is not None else None
    if known is not None and end > _GROWTH * known:
        grown = f"at the end of chunk 1 it had {_mib(known)}, at the end of chunk {record.chunk} {_mib(end)}"
    elif start is not None and end > _GROWTH_WITHIN * start and end - start > _LEAST_BYTES:
        grown = f"it had {_mib(start)} after its first iteration, and {_mib(end)} at step {record.step:,}"
    else:
        return None
    remedy = (
        "lower train.replay.capacity, if the buffer is not meant to fill it"
        if replay
        else "set train.chunks.size lower, so that processes begin anew more often, or lower "
        "train.options.train_batch_size_per_learner"
    )
    return f"the trial's memory grows: {grown}; {remedy}"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
