"""TrajectoryBatch as an Arrow record batch: one row per trajectory, its steps a list of structs.

::

    episode_id: fixed_size_list<uint64>[2]      trajectory columns, one value per row
    terminated: uint8
    domain: large_string
    ...
    steps: large_list<struct<obs: fixed_size_list<float>[4], actions: int64, rewards: float, ...>>

Both directions share the memory of contiguous columns. What Arrow has no room for (the shape of a row,
booleans of one byte, rows of no elements) stands as JSON in the schema's metadata. See docs/format.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs, ColumnSpec
from rayrl.experience.ragged import Column, Ragged

FORMAT_VERSION = "1.0"
METADATA_KEY = b"rayrl"
STEPS = "steps"


def to_arrow(batch: TrajectoryBatch) -> pa.RecordBatch:
    """The Arrow form of a batch; C-contiguous columns are shared, others copied.

    Raises:
        DataError: the batch has no step columns, or a trajectory column named ``steps``.
    """
    if not batch.columns:
        raise DataError("a batch without step columns has no Arrow form")
    if STEPS in batch.trajectory_columns:
        raise DataError("the name is taken by the list of steps", where=STEPS)
    fields = {name: _to_array(column) for name, column in batch.columns.items()}
    struct = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    arrays = {name: _to_array(column) for name, column in batch.trajectory_columns.items()}
    arrays[STEPS] = pa.LargeListArray.from_arrays(pa.array(batch.offsets), struct)
    table = pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))
    specs = batch.specs
    metadata = {
        "format_version": FORMAT_VERSION,
        "columns": _specs_to_json(specs.columns),
        "trajectory_columns": _specs_to_json(specs.trajectory_columns),
    }
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata)})


def from_arrow(table: pa.RecordBatch) -> TrajectoryBatch:
    """The batch of an Arrow record batch, as read-only views of its memory.

    Raises:
        DataError: the record batch is not one that ``to_arrow`` makes.
    """
    return from_columns(table, checked_specs(table.schema))


def checked_specs(schema: pa.Schema) -> BatchSpecs:
    """What the columns of a schema look like, which are those that its metadata name.

    Raises:
        DataError: they are not, or the schema is none of rayrl's.
    """
    specs = read_specs(schema)
    if not schema.equals(_arrow_schema(specs)):
        raise DataError(f"the Arrow columns are not those that the metadata name: {schema.names}")
    return specs


def from_columns(table: pa.RecordBatch, specs: BatchSpecs) -> TrajectoryBatch:
    """The batch of an Arrow record batch whose schema was checked; see ``from_arrow``."""
    try:
        table.validate()
        offsets, steps = _list_parts(table.column(STEPS))
        return TrajectoryBatch(
            {name: _from_array(steps.field(name), spec) for name, spec in specs.columns.items()},
            offsets,
            {name: _from_array(table.column(name), spec) for name, spec in specs.trajectory_columns.items()},
        )
    except pa.ArrowException as error:
        raise DataError(f"the record batch is damaged: {error}") from error


def read_specs(schema: pa.Schema) -> BatchSpecs:
    """The columns that a schema's metadata names.

    Raises:
        DataError: the schema is none of rayrl's, or of a version that is not known.
    """
    try:
        metadata = json.loads((schema.metadata or {})[METADATA_KEY])
        version = metadata["format_version"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("the Arrow schema has no rayrl metadata") from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"format version {version!r} is not known",
            remedy=f"this rayrl reads version {FORMAT_VERSION}; use the version of rayrl that wrote it",
        )
    try:
        return BatchSpecs(*(_specs_from_json(metadata[part]) for part in BatchSpecs._fields))
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"the Arrow schema's rayrl metadata are damaged: {error!r}") from error


def _specs_to_json(specs: Mapping[str, ColumnSpec]) -> dict[str, Any]:
    return {
        name: {"kind": spec.kind, "dtype": spec.dtype.name, "shape": spec.shape}
        for name, spec in specs.items()
    }


def _specs_from_json(value: Mapping[str, Any]) -> dict[str, ColumnSpec]:
    return {
        name: ColumnSpec(np.dtype(spec["dtype"]), tuple(spec["shape"]), spec["kind"])
        for name, spec in value.items()
    }


def _to_array(column: Column) -> pa.Array:
    if not isinstance(column, Ragged):
        return _values_to_array(column)
    if column.is_text:
        return pa.LargeStringArray.from_buffers(
            len(column), pa.py_buffer(column.offsets), pa.py_buffer(column.values)
        )
    return pa.LargeListArray.from_arrays(pa.array(column.offsets), _values_to_array(column.values))


def _values_to_array(values: NDArray[Any]) -> pa.Array:
    size = math.prod(values.shape[1:])
    if size == 0:
        return pa.nulls(len(values))
    flat = np.ascontiguousarray(values).reshape(-1)
    array = pa.array(flat.view(np.uint8) if flat.dtype == np.bool_ else flat)
    return array if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(array, size)


def _from_array(array: pa.Array, spec: ColumnSpec) -> Column:
    if spec.kind == "array":
        return _values_from_array(array, spec)
    if spec.kind == "ragged":
        offsets, elements = _list_parts(array)
        return Ragged(_values_from_array(elements, spec), offsets)
    _refuse_nulls(array)
    _, offsets_buffer, data_buffer = array.buffers()
    data = np.frombuffer(data_buffer or b"", np.uint8)
    offsets = np.zeros(1, np.int64)
    if len(array):
        offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    return Ragged(data[offsets[0] : offsets[-1]], _from_zero(offsets), is_text=True)


def _values_from_array(array: pa.Array, spec: ColumnSpec) -> NDArray[Any]:
    shape = (len(array), *spec.shape)
    if math.prod(spec.shape) == 0:
        return np.empty(shape, spec.dtype)
    _refuse_nulls(array)
    values: NDArray[Any] = (array.flatten() if spec.shape else array).to_numpy(zero_copy_only=True)
    return values.view(spec.dtype).reshape(shape)


def _list_parts(array: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Offsets from 0 and the elements of a list array, also of a slice of one."""
    _refuse_nulls(array)
    offsets = array.offsets.to_numpy(zero_copy_only=True)
    first, last = int(offsets[0]), int(offsets[-1])
    return _from_zero(offsets), array.values.slice(first, last - first)


def _refuse_nulls(array: pa.Array) -> None:
    if array.null_count:
        raise DataError(f"{array.null_count} values of an Arrow column are null; the format has none")


def _from_zero(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    return offsets - offsets[0] if offsets[0] else offsets


def _arrow_schema(specs: BatchSpecs) -> pa.Schema:
    struct = pa.struct([(name, _arrow_type(spec)) for name, spec in specs.columns.items()])
    fields = [(name, _arrow_type(spec)) for name, spec in specs.trajectory_columns.items()]
    return pa.schema([*fields, (STEPS, pa.large_list(struct))])


def _arrow_type(spec: ColumnSpec) -> pa.DataType:
    if spec.kind == "text":
        return pa.large_string()
    size = math.prod(spec.shape)
    values = pa.uint8() if spec.dtype == np.bool_ else pa.from_numpy_dtype(spec.dtype)
    if size == 0:
        values = pa.null()
    elif spec.shape:
        values = pa.list_(values, size)
    return pa.large_list(values) if spec.kind == "ragged" else values
