import io
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayrl.errors import DataError
from rayrl.experience.arrow import METADATA_KEY, from_arrow, to_arrow
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged, offsets_of
from tests.experience.strategies import batches


def batch() -> TrajectoryBatch:
    lengths = [3, 1, 2]
    return TrajectoryBatch(
        {
            "obs/vector": np.arange(12, dtype=np.float32).reshape(6, 2),
            "obs/image": np.arange(6 * 2 * 3 * 3, dtype=np.uint8).reshape(6, 2, 3, 3),
            "obs/prompt": Ragged.from_text(["", "a", "é", "bc", "d", ""]),
            "obs/mask": np.array([[True, False]] * 6),
            "obs/nothing": np.zeros((6, 0, 2), np.float16),
            "tokens": Ragged(np.arange(14).reshape(7, 2), offsets_of([1, 0, 2, 4, 0, 0])),
            "rewards": np.array([0.0, -0.0, np.nan, np.inf, 1, 2], np.float32),
        },
        offsets_of(lengths),
        {
            "episode_id": np.arange(6, dtype=np.uint64).reshape(3, 2),
            "terminated": np.array([True, False, True]),
            "domain": Ragged.from_text(["router", "", "maze"]),
            "final_obs/image": np.zeros((3, 2, 3, 3), np.uint8),
        },
    )


def leaf_arrays(columns: dict[str, Column]) -> dict[str, np.ndarray]:
    found = {}
    for name, column in columns.items():
        if isinstance(column, Ragged):
            found |= {f"{name}.values": column.values, f"{name}.offsets": column.offsets}
        else:
            found[name] = column
    return {name: array for name, array in found.items() if array.size}


@settings(deadline=None, max_examples=150)
@given(batches())
def test_every_batch_comes_back_bit_for_bit(original: TrajectoryBatch) -> None:
    original.validate()
    back = from_arrow(to_arrow(original))
    back.validate()
    assert back == original
    assert list(back.columns) == list(original.columns)


@settings(deadline=None, max_examples=60)
@given(batches(), st.data())
def test_a_slice_of_the_arrow_form_is_the_slice_of_the_batch(
    original: TrajectoryBatch, data: st.DataObject
) -> None:
    ends = st.integers(0, original.num_trajectories)
    start, stop = sorted([data.draw(ends), data.draw(ends)])
    assert from_arrow(to_arrow(original).slice(start, stop - start)) == original.slice(start, stop)


@settings(deadline=None, max_examples=60)
@given(batches(), st.data())
def test_batches_come_back_from_an_arrow_file(original: TrajectoryBatch, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, original.num_trajectories))
    pieces = [original.slice(0, cut), original.slice(cut, original.num_trajectories)]
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, to_arrow(original).schema) as writer:
        for piece in pieces:
            writer.write_batch(to_arrow(piece))
    reader = pa.ipc.open_file(pa.py_buffer(sink.getvalue()))
    assert [from_arrow(reader.get_batch(index)) for index in range(2)] == pieces


def test_neither_direction_copies_a_column() -> None:
    original = batch()
    table = to_arrow(original)
    back = from_arrow(table)
    for name in ("columns", "trajectory_columns"):
        before, after = leaf_arrays(getattr(original, name)), leaf_arrays(getattr(back, name))
        assert before.keys() == after.keys()
        for column, array in before.items():
            assert after[column].ctypes.data == array.ctypes.data, column
    assert back.offsets.ctypes.data == original.offsets.ctypes.data
    in_arrow = {buffer.address for column in table.columns for buffer in column.buffers() if buffer}
    assert {array.ctypes.data for array in leaf_arrays(original.columns).values()} <= in_arrow


def test_what_comes_back_is_read_only() -> None:
    back = from_arrow(to_arrow(batch()))
    with pytest.raises(ValueError, match="read-only"):
        back.columns["rewards"][0] = 1


def test_columns_that_are_not_contiguous_are_copied_and_right() -> None:
    transposed = np.arange(6).reshape(2, 3).T
    original = TrajectoryBatch({"obs": transposed, "every other": np.arange(6)[::2]}, offsets_of([1, 2]), {})
    assert from_arrow(to_arrow(original)) == original


def test_the_arrow_types_are_the_documented_ones() -> None:
    schema = to_arrow(batch()).schema
    assert {field.name: str(field.type) for field in schema if field.name != "steps"} == {
        "episode_id": "fixed_size_list<item: uint64>[2]",
        "terminated": "uint8",
        "domain": "large_string",
        "final_obs/image": "fixed_size_list<item: uint8>[18]",
    }
    steps = schema.field("steps").type
    assert pa.types.is_large_list(steps)
    assert {field.name: str(field.type) for field in steps.value_type} == {
        "obs/vector": "fixed_size_list<item: float>[2]",
        "obs/image": "fixed_size_list<item: uint8>[18]",
        "obs/prompt": "large_string",
        "obs/mask": "fixed_size_list<item: uint8>[2]",
        "obs/nothing": "null",
        "tokens": "large_list<item: fixed_size_list<item: int64>[2]>",
        "rewards": "float",
    }
    metadata = json.loads(schema.metadata[METADATA_KEY])
    assert metadata["format_version"] == "1.0"
    assert metadata["columns"]["obs/mask"] == {"kind": "array", "dtype": "bool", "shape": [2]}
    assert metadata["columns"]["obs/nothing"] == {"kind": "array", "dtype": "float16", "shape": [0, 2]}
    assert metadata["trajectory_columns"]["domain"] == {"kind": "text", "dtype": "uint8", "shape": []}


def test_arrow_without_our_metadata_is_refused() -> None:
    table = to_arrow(batch())
    with pytest.raises(DataError, match="no rayrl metadata"):
        from_arrow(table.replace_schema_metadata(None))
    with pytest.raises(DataError, match="no rayrl metadata"):
        from_arrow(table.replace_schema_metadata({METADATA_KEY: "{"}))
    with pytest.raises(DataError, match=r"'7\.0' is not known"):
        from_arrow(table.replace_schema_metadata({METADATA_KEY: '{"format_version": "7.0"}'}))
    with pytest.raises(DataError, match="damaged"):
        from_arrow(table.replace_schema_metadata({METADATA_KEY: '{"format_version": "1.0"}'}))


def test_arrow_that_is_not_what_its_metadata_says_is_refused() -> None:
    table = to_arrow(batch())
    with pytest.raises(DataError, match="not those that the metadata name"):
        from_arrow(table.set_column(1, "terminated", pa.array([1, 0, 1], pa.int32())))
    with pytest.raises(DataError, match="null"):
        from_arrow(table.set_column(1, "terminated", pa.array([1, None, 1], pa.uint8())))


def test_what_has_no_arrow_form_is_refused() -> None:
    with pytest.raises(DataError, match="without step columns"):
        to_arrow(TrajectoryBatch({}, offsets_of([]), {}))
    with pytest.raises(DataError, match="steps: the name is taken"):
        to_arrow(batch().with_trajectory_columns(steps=np.zeros(3)))
