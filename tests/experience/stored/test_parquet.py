"""The export is a table that others read: plain types, one row for each step, every value in its place."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayrl.errors import DataError, RunError
from rayrl.experience.replay import ReplayBuffer
from rayrl.experience.stored.opening import open_stored
from rayrl.experience.stored.parquet import export_parquet
from tests.experience.replay.building import ENV, SPACES
from tests.experience.stored.building import dataset, saved_buffer


def test_each_step_is_a_row(tmp_path: Path) -> None:
    out = export_parquet(open_stored(dataset(tmp_path / "set")), tmp_path / "out.parquet")
    table = pq.read_table(out)
    rows = table.to_pylist()
    assert len(rows) == 524
    assert rows[5] == {
        "episode_id": f"{0:016x}{1:016x}",
        "step": 0,
        "obs": [1000.0, 1000.0],
        "actions": 1000,
        "rewards": 1000.0,
        "note": -1000,
        "terminated": False,
        "truncated": False,
        "final_obs": None,
        "domain": "router",
        "source": "rollout",
    }
    assert (rows[11]["step"], rows[11]["truncated"], rows[11]["final_obs"]) == (6, True, [1007.0, 1007.0])
    assert (rows[4]["terminated"], rows[4]["truncated"]) == (True, False)
    assert [row["step"] for row in rows[-4:]] == [40, 41, 42, 43]
    assert json.loads(table.schema.metadata[b"rayrl.shapes"]) == {"obs": [2], "final_obs": [2]}


def test_types_are_plain(tmp_path: Path) -> None:
    out = export_parquet(open_stored(saved_buffer(tmp_path / "buffer")), tmp_path / "out.parquet")
    schema = pq.read_schema(out)
    assert b"ARROW:schema" not in pq.ParquetFile(out).metadata.metadata
    for field in schema:
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        assert pa.types.is_primitive(kind) or pa.types.is_string(kind), field


def test_partitions_are_one_table(tmp_path: Path) -> None:
    """A column that one partition lacks is null there."""
    out = export_parquet(open_stored(saved_buffer(tmp_path / "buffer")), tmp_path / "out.parquet")
    rows = pq.read_table(out).to_pylist()
    assert [row["partition"] for row in rows] == ["online"] * 200 + ["demos"] * 33
    assert {row["domain"] for row in rows} == {None, "maze", "router"}
    assert {row["split"] for row in rows} == {"train", "val"}
    assert len({row["row_id"] for row in rows}) == 233


def test_a_folder_has_files_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayrl.experience.stored.parquet._FILE_STEPS", 200)
    out = export_parquet(open_stored(dataset(tmp_path / "set")), tmp_path / "out")
    files = sorted(out.iterdir())
    assert [file.name for file in files] == [f"part-{i:05d}.parquet" for i in range(len(files))]
    assert len(files) == 3
    table = pa.concat_tables([pq.read_table(file) for file in files])
    np.testing.assert_array_equal(table["actions"].to_numpy(), table["rewards"].to_numpy())
    assert len(table) == 524


def test_what_stands_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    stored = open_stored(dataset(tmp_path / "set"))
    for out in (tmp_path / "out.parquet", tmp_path / "out"):
        export_parquet(stored, out)
        with pytest.raises(RunError, match="is there already") as refused:
            export_parquet(stored, out)
        assert refused.value.remedy == "--force replaces it"
        export_parquet(stored, out, force=True)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").touch()
    (tmp_path / "notes.txt").touch()
    for out in (tmp_path / "precious", tmp_path / "notes.txt"):
        with pytest.raises(RunError, match="is no earlier export"):
            export_parquet(stored, out, force=True)
    for out in (tmp_path / "set", tmp_path / "set" / "out.parquet", tmp_path):
        with pytest.raises(RunError, match="lies in what is exported, or around it"):
            export_parquet(stored, out, force=True)


def test_an_error_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = open_stored(dataset(tmp_path / "set"))
    out = export_parquet(stored, tmp_path / "out.parquet")
    before = out.read_bytes()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_parquet(stored, out, force=True, progress=stop)
    assert out.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.parquet", "set"]


def test_an_empty_buffer_has_nothing_to_export(tmp_path: Path) -> None:
    path = ReplayBuffer(SPACES, ENV).save(tmp_path / "buffer")
    with pytest.raises(DataError, match="holds nothing"):
        export_parquet(open_stored(path), tmp_path / "out.parquet")
