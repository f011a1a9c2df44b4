"""docs/format.md is the standard: its code runs, and its example is one that the reader accepts."""

import json
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from rayrl.experience.arrow import FORMAT_VERSION
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import TRAJECTORY_COLUMNS
from rayrl.experience.dataset import DatasetManifest, EnvInfo
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import offsets_of
from rayrl.storage.spaces import Spaces

DOCUMENT = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    return str(text)


def test_the_document_is_of_the_version_that_is_written() -> None:
    assert DOCUMENT.startswith(f"# The format of experience on disk, version {FORMAT_VERSION}\n")


def test_the_example_of_a_manifest_is_one() -> None:
    manifest = DatasetManifest.parse(json.loads(block("json")), where="docs/format.md")
    assert manifest.format_version == FORMAT_VERSION
    assert Spaces.from_json(manifest.spaces).to_json() == manifest.spaces


def test_every_trajectory_column_of_fixed_type_is_documented() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
    for name, spec in TRAJECTORY_COLUMNS.items():
        (row,) = [row for row in rows if f"`{name}`" in row.split("|")[1]]
        assert ("text" if spec.kind == "text" else spec.dtype.name) in row.split("|")[2]


def test_the_code_reads_a_dataset_without_rayrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [2, 3]
    batch = TrajectoryBatch(
        {
            "obs": np.arange(20, dtype=np.float32).reshape(5, 2, 2),
            "actions": np.zeros(5, np.int64),
            "rewards": np.array([1, 2, 10, 20, 30], np.float32),
        },
        offsets_of(lengths),
        {
            "episode_id": np.array([[7, 0], [7, 1]], np.uint64),
            "first_step": np.zeros(2, np.int64),
            "terminated": np.array([True, False]),
            "truncated": np.array([False, True]),
            "final_obs": np.zeros((2, 2, 2), np.float32),
        },
    )
    spaces = Spaces(gym.spaces.Box(-1, 1, (2, 2)), gym.spaces.Discrete(2))
    with DatasetWriter(tmp_path / "dataset", spaces=spaces, env=EnvInfo(id="Any-v0")) as writer:
        writer.append(batch)
        writer.finish()
    monkeypatch.chdir(tmp_path)
    found: dict[str, np.ndarray] = {}
    exec(block("python"), found)
    assert found["returns"].tolist() == [3, 60]
    assert found["episode_ids"].tolist() == [[7, 0], [7, 1]]
    np.testing.assert_array_equal(found["obs"], batch.columns["obs"])
