import json
from pathlib import Path

import pytest

from rayrl.errors import IntegrityError
from rayrl.experience.stored.opening import open_stored
from tests.experience.stored.building import dataset, saved_buffer


def test_both_kinds_are_told_apart(tmp_path: Path) -> None:
    one, other = open_stored(dataset(tmp_path / "set")), open_stored(saved_buffer(tmp_path / "buffer"))
    assert (one.kind, [part.name for part in one.parts], one.num_steps) == ("dataset", [""], 524)
    assert (other.kind, [part.name for part in other.parts], other.num_steps) == (
        "replay_buffer",
        ["online", "demos"],
        233,
    )


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "there is no manifest.json"),
        ("{", "is not valid JSON"),
        ("[]", "is the manifest of something else"),
        ('{"format_version": "1.0", "name": "train"}', "is the manifest of something else"),
        ('{"format_version": "7", "files": [], "spaces": {}}', "format version '7' is not known"),
        ('{"format_version": "7", "kind": "replay_buffer"}', "format version '7' is not known"),
        ('{"format_version": "1.0", "kind": "replay_buffer"}', "required, and not given"),
        ('{"format_version": "1.0", "files": [], "spaces": {}}', "required, and not given"),
    ],
)
def test_anything_else_is_one_error(tmp_path: Path, manifest: str | None, message: str) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(IntegrityError, match=message):
        open_stored(tmp_path)


def test_a_buffer_whose_counters_are_others(tmp_path: Path) -> None:
    path = saved_buffer(tmp_path / "buffer")
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["partitions"][0]["counters"]["steps_evicted"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        IntegrityError, match="partition 'online' lacks, or should not have, counter 'steps_ev"
    ):
        open_stored(path)


def test_what_it_would_look_like_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in ((tmp_path / "file", "is a file"), (tmp_path / "none", "there is no such folder")):
        with pytest.raises(IntegrityError, match=message) as refused:
            open_stored(path)
        assert "a dataset is a folder of part-*.arrow files" in str(refused.value)
    folder = dataset(tmp_path / "set")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": []}))
    with pytest.raises(IntegrityError, match="names no file"):
        open_stored(folder)
    for change, message in (({"name": "../a.arrow"}, "name"), ({"steps": -1}, "steps")):
        file = manifest["files"][0] | change
        (folder / "manifest.json").write_text(json.dumps(manifest | {"files": [file]}))
        with pytest.raises(IntegrityError, match=rf"files\.0\.{message}"):
            open_stored(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(IntegrityError, match="an unfinished dataset: 31 files and no manifest"):
        open_stored(folder)
