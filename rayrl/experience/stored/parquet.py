"""Stored experience as Parquet tables: one row for each step, in columns of plain types.

=====================  =================================================================================
``partition``          of a saved buffer: the partition's name
``episode_id``         32 hexadecimal digits
``step``               position within the episode, from 0
step columns           a number, a list of numbers (row-major) or a string; of booleans, booleans
``terminated``         whether the episode ended with the step in a terminal state; so ``truncated``
``final_obs``          on a trajectory's last row the observation after it, else null
trajectory columns     repeated on each row of the trajectory, ``split`` and ``source`` in words; those
                       that are lists are on its last row alone
=====================  =================================================================================

The shapes of what are lists stand in the file's metadata under ``rayrl.shapes``, as JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayrl.errors import DataError, RunError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import ColumnSpec
from rayrl.experience.ragged import Column, Ragged
from rayrl.experience.replay.parts import trajectory_texts
from rayrl.experience.stored.opening import Progress, Stored, StoredPart
from rayrl.experience.stored.verification import episode_text
from rayrl.storage.atomic import atomic_file, atomic_folder

_SUFFIX = ".parquet"
_PARTITION = "partition"
_STEP = "step"
_FILE_STEPS = 1 << 20
_OWN = {c.EPISODE_ID, c.FIRST_STEP, c.TERMINATED, c.TRUNCATED}
_WORDS = (c.SPLIT, c.SOURCE)


def export_parquet(
    stored: Stored, out: Path, *, force: bool = False, progress: Progress | None = None
) -> Path:
    """Writes all steps as Parquet, whole or not at all, and in constant memory.

    Args:
        stored: what was opened.
        out: a file, if its name ends in ``.parquet``, else a folder of files of a million steps or so each.
        force: replace an earlier export.
        progress: told of steps.

    Raises:
        RunError: something stands there already, and is no earlier export or may not be replaced.
        DataError: the buffer is empty.
        IntegrityError: a file of what is exported cannot be read.
        StorageError: the disk is full or not writable.
    """
    stored.check()
    if not stored.parts:
        raise DataError("holds nothing", where=str(stored.path), remedy="add experience to the buffer first")
    _check_target(stored, out, force)
    schema = _schema(stored)
    tables = (_table(part, batch, schema) for part, batch in stored.batches(progress))
    if out.suffix == _SUFFIX:
        with atomic_file(out, "the export") as file, _writer(file, schema) as writer:
            for table in tables:
                writer.write_table(table)
        return out
    with atomic_folder(out, "the export") as folder:
        _write_files(folder, schema, tables)
    return out


def _write_files(folder: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    number = rows = 0
    with ExitStack() as stack:
        writer: Any = None
        for table in tables:
            if writer is not None and rows + len(table) > _FILE_STEPS:
                writer.close()
                writer = None
            if writer is None:
                writer = stack.enter_context(_writer(folder / f"part-{number:05d}{_SUFFIX}", schema))
                number, rows = number + 1, 0
            writer.write_table(table)
            rows += len(table)


def _writer(to: Any, schema: pa.Schema) -> pq.ParquetWriter:
    # Arrow's own schema beside Parquet's would bring back types that other tools do not know.
    writer = pq.ParquetWriter(to, schema, store_schema=False)
    writer.add_key_value_metadata(schema.metadata)
    return writer


def _check_target(stored: Stored, out: Path, force: bool) -> None:
    source, target = stored.path.resolve(), out.resolve()
    if source == target or source in target.parents or target in source.parents:
        raise RunError("lies in what is exported, or around it", where=str(out), remedy="name another place")
    if not out.exists():
        return
    if out.is_dir():
        if not any(out.iterdir()) and out.suffix != _SUFFIX:
            return
        ours = out.suffix != _SUFFIX and all(entry.suffix == _SUFFIX for entry in out.iterdir())
    else:
        ours = out.suffix == _SUFFIX
    if not ours:
        raise RunError(
            "is there already, and is no earlier export",
            where=str(out),
            remedy="name a new folder, or a file that ends in .parquet",
        )
    if not force:
        raise RunError("is there already", where=str(out), remedy="--force replaces it")


def _schema(stored: Stored) -> pa.Schema:
    fields: dict[str, pa.DataType] = {}
    shapes: dict[str, list[int]] = {}
    steps: dict[str, ColumnSpec] = {}
    trajectories: dict[str, ColumnSpec] = {}
    for part in stored.parts:
        specs = part.read_specs()
        steps |= specs.columns
        trajectories |= specs.trajectory_columns
    if stored.buffer is not None:
        fields[_PARTITION] = pa.string()
    fields |= {c.EPISODE_ID: pa.string(), _STEP: pa.int64()}
    fields |= {name: _type(spec) for name, spec in steps.items()}
    fields |= {c.TERMINATED: pa.bool_(), c.TRUNCATED: pa.bool_()}
    kept = {name: spec for name, spec in trajectories.items() if name not in _OWN}
    fields |= {name: pa.string() if name in _WORDS else _type(spec) for name, spec in kept.items()}
    shapes = {name: list(spec.shape) for name, spec in (steps | kept).items() if spec.shape}
    return pa.schema(list(fields.items()), {b"rayrl.shapes": json.dumps(shapes)})


def _type(spec: ColumnSpec) -> pa.DataType:
    if spec.kind == "text":
        return pa.string()
    value = pa.float32() if spec.dtype == np.float16 else pa.from_numpy_dtype(spec.dtype)
    return pa.large_list(value) if spec.shape or spec.kind == "ragged" else value


def _table(part: StoredPart, batch: TrajectoryBatch, schema: pa.Schema) -> pa.Table:
    """The steps of a batch; a column that only other partitions have is null."""
    trajectories: Any = batch.trajectory_columns
    owner = batch.trajectory_of_row()
    last = batch.offsets[1:] - 1
    arrays: dict[str, pa.Array] = {
        c.EPISODE_ID: pa.array(episode_text(trajectories[c.EPISODE_ID])).take(pa.array(owner)),
        _STEP: pa.array(trajectories[c.FIRST_STEP][owner] + batch.step_of_row()),
    }
    if part.name:
        arrays[_PARTITION] = pa.repeat(part.name, batch.num_steps)
    for name, column in batch.columns.items():
        arrays[name] = _array(column, schema.field(name).type)
    for name in (c.TERMINATED, c.TRUNCATED):
        flags = np.zeros(batch.num_steps, np.bool_)
        flags[last] = trajectories[name]
        arrays[name] = pa.array(flags)
    at_end = np.full(batch.num_steps, -1, np.int64)
    at_end[last] = np.arange(batch.num_trajectories)
    only_last = pa.array(at_end, mask=at_end < 0)
    for name, column in trajectories.items():
        if name in _OWN:
            continue
        if name in _WORDS:
            values = pa.array(trajectory_texts(batch, name))
        else:
            values = _array(column, schema.field(name).type)
        once = name.split("/")[0] == c.FINAL_OBS or pa.types.is_large_list(values.type)
        arrays[name] = values.take(only_last if once else pa.array(owner))
    columns = [
        arrays[field.name] if field.name in arrays else pa.nulls(batch.num_steps, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _array(column: Column, kind: pa.DataType) -> pa.Array:
    if isinstance(column, Ragged) and column.is_text:
        return pa.array(column.to_text(), kind)
    values = column.values if isinstance(column, Ragged) else column
    flat = np.ascontiguousarray(values).reshape(-1)
    flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat
    if not pa.types.is_large_list(kind):
        return pa.array(flat, kind)
    inner = math.prod(values.shape[1:])
    offsets = column.offsets if isinstance(column, Ragged) else np.arange(len(column) + 1)
    return pa.LargeListArray.from_arrays(pa.array(offsets * inner), pa.array(flat, kind.value_type))
