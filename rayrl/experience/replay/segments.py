"""Segments: immutable Arrow files of one block each, named by the SHA-256 of their bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from rayrl.errors import DataError, IntegrityError
from rayrl.experience.arrow import from_arrow, to_arrow
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.replay import saved
from rayrl.experience.replay.store import Marks, Segment
from rayrl.storage.atomic import fsync_path, storage_errors, write_bytes
from rayrl.storage.hashing import sha256_file

REMEDY = "restore a checkpoint whose segments are there, or one that holds everything (`full`)"
_MARKS = (saved.ROW_ID, saved.TRAJECTORY_ID, saved.TRAJECTORY_RETURN)


def marked(batch: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
    """A block with what the index knows of its rows, as columns."""
    return batch.with_columns(**{saved.ROW_ID: marks.row_ids}).with_trajectory_columns(
        **{saved.TRAJECTORY_ID: marks.trajectory_ids, saved.TRAJECTORY_RETURN: marks.returned}
    )


def unmarked(batch: TrajectoryBatch) -> tuple[TrajectoryBatch, Marks]:
    """A block as it was before ``marked``, and what the index knew of its rows.

    Raises:
        DataError: a column of these is missing.
    """
    columns: dict[str, Any] = batch.columns | batch.trajectory_columns
    if missing := [name for name in _MARKS if name not in columns]:
        raise DataError("is missing", where=missing[0])
    return batch.drop(_MARKS), Marks(*(columns[name] for name in _MARKS))


def write_segment(folder: Path, batch: TrajectoryBatch) -> Segment:
    """Writes a segment, unless it is there already.

    Raises:
        StorageError: the disk is full or not writable.
    """
    table = to_arrow(batch)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(table)
    data = sink.getvalue()
    segment = Segment(sha256=hashlib.sha256(data).hexdigest(), bytes=data.size)
    path = folder / segment.name
    if not path.exists() or path.stat().st_size != segment.bytes:
        write_bytes(path, data, "a segment of the replay buffer")
    return segment


def read_segment(folder: Path, segment: Segment) -> TrajectoryBatch:
    """A segment's rows, as read-only views of the mapped file.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    path = folder / segment.name
    try:
        with pa.memory_map(str(path)) as source:
            return from_arrow(pa.ipc.open_file(source).get_batch(0))
    except (OSError, pa.ArrowException, DataError) as error:
        raise IntegrityError(
            f"the segment cannot be read: {error}", where=str(path), remedy=REMEDY
        ) from error


def verify_segment(folder: Path, segment: Segment) -> None:
    """Checks every byte of a segment.

    Raises:
        IntegrityError: it is missing, or altered.
    """
    path = folder / segment.name
    if not path.is_file():
        raise IntegrityError("the segment is missing", where=str(path), remedy=REMEDY)
    if sha256_file(path) != segment.sha256:
        raise IntegrityError(
            "the segment is altered: its bytes are not those of its name", where=str(path), remedy=REMEDY
        )


def bring_segment(segment: Segment, source: Path, target: Path) -> None:
    """Has a segment of one folder in another one too: by a hard link, or where there can be none by a copy.

    Raises:
        StorageError: the disk is full or not writable.
    """
    path = target / segment.name
    if path.exists():
        return
    with storage_errors(path, "a segment of the replay buffer"):
        target.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / segment.name, path)
        except OSError:
            temporary = path.with_name(f".{path.name}.tmp")
            shutil.copyfile(source / segment.name, temporary)
            fsync_path(temporary)
            temporary.replace(path)
        fsync_path(target)
