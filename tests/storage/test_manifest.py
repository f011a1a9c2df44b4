import json
from pathlib import Path
from typing import Any

import pytest

from rayrl.errors import IntegrityError
from rayrl.storage.hashing import sha256_json
from rayrl.storage.manifest import (
    MANIFEST_FILE,
    OutputFile,
    lost_output,
    read_manifest,
    reason_to_run,
    verify_outputs,
    write_manifest,
)

INPUTS = {"collect": "aa", "trace.csv": "bb"}
OPTIONS = {"lr": 0.1, "optimizer": {"name": "adam", "betas": [0.9, 0.99]}}
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "weights").write_bytes(b"abc")
    (tmp_path / "log").write_bytes(b"some lines")
    (tmp_path / ".log.12345678.tmp").write_bytes(b"left by a killed process")
    write_manifest(tmp_path, name="pretrain", inputs=INPUTS, options=OPTIONS, extra={"steps": 7})
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    value = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / MANIFEST_FILE).write_text(json.dumps(value | changes))


def test_a_manifest_says_what_was_consumed_and_produced(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.name == "pretrain"
    assert manifest.inputs == INPUTS
    assert manifest.options == OPTIONS
    assert manifest.extra == {"steps": 7}
    assert list(manifest.outputs) == ["log", "policy/weights"]
    assert manifest.outputs["policy/weights"] == OutputFile(bytes=3, sha256=ABC)
    assert {"python", "rayrl", "ray", "torch", "numpy"} <= manifest.versions.keys()
    assert manifest.created.endswith("+00:00")
    assert manifest.outputs_sha256 == sha256_json(
        {path: file.sha256 for path, file in manifest.outputs.items()}
    )


def test_a_stage_may_name_its_outputs(folder: Path) -> None:
    manifest = write_manifest(folder, name="x", inputs={}, options={}, outputs=["policy/weights"])
    assert list(manifest.outputs) == ["policy/weights"]
    with pytest.raises(IntegrityError, match="gone"):
        write_manifest(folder, name="x", inputs={}, options={}, outputs=["gone"])


def test_a_finished_stage_needs_no_run(folder: Path) -> None:
    assert reason_to_run(folder, inputs=INPUTS, options=OPTIONS) is None
    verify_outputs(folder)


def test_a_stage_without_a_manifest_has_not_finished(tmp_path: Path) -> None:
    assert reason_to_run(tmp_path / "none", inputs={}, options={}) == "it has not finished yet"


@pytest.mark.parametrize(
    ("inputs", "options", "reason"),
    [
        (INPUTS | {"collect": "cc"}, OPTIONS, "input collect changed"),
        ({"collect": "aa"}, OPTIONS, "input trace.csv is gone"),
        (INPUTS, OPTIONS | {"epochs": 3}, "option epochs is new"),
        (
            INPUTS,
            {"lr": 0.2, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}},
            "option lr was 0.1, is 0.2; option optimizer.betas was [0.9, 0.99], is [0.9, 0.999]",
        ),
    ],
)
def test_the_reason_to_run_again_is_said(
    folder: Path, inputs: dict[str, str], options: dict[str, Any], reason: str
) -> None:
    assert reason_to_run(folder, inputs=inputs, options=options) == reason


def test_missing_and_shortened_outputs_are_a_reason_to_run(folder: Path) -> None:
    (folder / "policy" / "weights").write_bytes(b"ab")
    (folder / "log").unlink()
    reason = reason_to_run(folder, inputs=INPUTS, options=OPTIONS)
    assert reason == "output log is missing; output policy/weights has 2 bytes, not 3"


def test_what_is_lost_is_told_whatever_it_was_made_from(folder: Path) -> None:
    assert lost_output(folder) is None
    (folder / "log").unlink()
    assert lost_output(folder) == "output log is missing"
    (folder / MANIFEST_FILE).unlink()
    assert lost_output(folder) == "manifest.json is missing"


def test_an_altered_byte_is_found_by_verifying(folder: Path) -> None:
    (folder / "policy" / "weights").write_bytes(b"abd")
    with pytest.raises(IntegrityError, match="policy/weights is altered"):
        verify_outputs(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": "2.0"}, "'2.0' is not known"),
        ({"name": 3}, "name = 3"),
        ({"new": 1}, "new: unknown"),
    ],
)
def test_a_damaged_manifest_is_an_error_not_a_rerun(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    edit(folder, **changes)
    with pytest.raises(IntegrityError, match=words) as caught:
        reason_to_run(folder, inputs=INPUTS, options=OPTIONS)
    assert caught.value.where == str(folder / MANIFEST_FILE)
    assert caught.value.remedy
