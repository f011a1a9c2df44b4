import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text

from rayrl.errors import DataError, IntegrityError, RunError, SpaceError, StorageError
from rayrl.experience import dataset_writer
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import Dataset, EnvInfo, open_dataset
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import Ragged, offsets_of
from rayrl.storage.spaces import Spaces

SPACES = Spaces(Dict(camera=Box(0, 255, (4, 4), np.uint8), prompt=Text(8)), Discrete(3))
ENV = EnvInfo(id="rayrl/Counting-v0", config={"length": 5})
STEPS_PER_TRAJECTORY = 5


def trajectories(first: int, count: int) -> TrajectoryBatch:
    """Episode e's step s shows 10 e + s in every pixel and as text."""
    episodes = np.arange(first, first + count)
    origin = (10 * episodes[:, None] + np.arange(STEPS_PER_TRAJECTORY)).reshape(-1)
    final = 10 * episodes + STEPS_PER_TRAJECTORY

    def parts(values: np.ndarray) -> list[np.ndarray | Ragged]:
        image = np.broadcast_to(values[:, None, None], (len(values), 4, 4)).astype(np.uint8)
        return [image, Ragged.from_text(map(str, values))]

    return TrajectoryBatch(
        {
            **dict(zip(["obs/camera", "obs/prompt"], parts(origin), strict=True)),
            "actions": origin % 3,
            "rewards": origin.astype(np.float32),
        },
        offsets_of([STEPS_PER_TRAJECTORY] * count),
        {
            "episode_id": np.stack([np.zeros(count), episodes], axis=1).astype(np.uint64),
            "first_step": np.zeros(count, np.int64),
            "terminated": np.ones(count, np.bool_),
            "truncated": np.zeros(count, np.bool_),
            **dict(zip(["final_obs/camera", "final_obs/prompt"], parts(final), strict=True)),
        },
    )


def writer(path: Path, **options: int) -> DatasetWriter:
    return DatasetWriter(path, spaces=SPACES, env=ENV, **options)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_writer, "_BLOCK_ROWS", 20)


@pytest.fixture
def dataset(tmp_path: Path, small_blocks: None) -> Dataset:
    """30 trajectories in several files, 4 to an Arrow batch."""
    with writer(tmp_path / "data", file_bytes=4000) as output:
        for first in range(0, 30, 2):
            output.append(trajectories(first, 2))
        return output.finish()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_what_was_appended_comes_back(dataset: Dataset) -> None:
    everything = trajectories(0, 30)
    assert dataset.load() == everything
    assert TrajectoryBatch.concat(list(dataset.batches())) == everything
    assert (dataset.num_trajectories, dataset.num_steps) == (30, 150)
    assert dataset.spaces == SPACES
    assert dataset.env == ENV
    dataset.verify()
    again = open_dataset(str(dataset.path))
    assert again.manifest == dataset.manifest
    assert again.sha256 == dataset.sha256


def test_a_dataset_is_flat_files_of_bounded_size_beside_a_manifest(dataset: Dataset) -> None:
    files = [f"part-{index:05d}.arrow" for index in range(len(dataset.manifest.files))]
    assert len(files) == 3
    assert names(dataset.path) == ["manifest.json", *files]
    manifest = json.loads((dataset.path / "manifest.json").read_text())
    assert manifest["format_version"] == "1.0"
    assert manifest["env"] == {"id": "rayrl/Counting-v0", "config": {"length": 5}}
    assert manifest["spaces"] == SPACES.to_json()
    assert [file["name"] for file in manifest["files"]] == files
    assert sum(file["trajectories"] for file in manifest["files"]) == 30
    # Columns stay below the 4,000 bytes asked for; schema and footer come on top.
    assert max(batch.nbytes for batch in dataset.batches()) <= 4000


def test_batches_are_read_only_views_that_outlive_their_reader(dataset: Dataset) -> None:
    batches = list(dataset.batches())
    shutil.rmtree(dataset.path)
    camera = batches[-1].columns["obs/camera"]
    assert camera[-1].tolist() == [[(10 * 29 + 4) % 256] * 4] * 4
    with pytest.raises(ValueError, match="read-only"):
        camera[0] = 0


def test_a_large_append_is_cut_into_files_between_trajectories(tmp_path: Path) -> None:
    with writer(tmp_path, file_bytes=3000) as output:
        output.append(trajectories(0, 50))
        dataset = output.finish()
    assert len(dataset.manifest.files) > 3
    assert dataset.load() == trajectories(0, 50)


def test_a_trajectory_larger_than_a_file_is_stored_whole(tmp_path: Path) -> None:
    with writer(tmp_path, file_bytes=1) as output:
        output.append(trajectories(0, 3))
        dataset = output.finish()
    assert [file.trajectories for file in dataset.manifest.files] == [1, 1, 1]


def test_a_writer_goes_on_after_the_acknowledged_files(tmp_path: Path, small_blocks: None) -> None:
    crashed = writer(tmp_path, file_bytes=4000)
    for first in range(0, 16, 2):
        crashed.append(trajectories(first, 2))
    crashed.flush()
    acknowledged = {path.name: path.read_bytes() for path in tmp_path.glob("*.arrow")}
    crashed.append(trajectories(16, 4))
    assert (crashed.num_trajectories, crashed.num_steps) == (16, 80)
    with pytest.raises(IntegrityError, match="no finished dataset"):
        open_dataset(tmp_path)

    # The crashed writer is never closed: its open file stays behind under a temporary name.
    assert len(names(tmp_path)) == len(acknowledged) + 1
    with writer(tmp_path, file_bytes=4000) as output:
        assert (output.num_trajectories, output.num_steps) == (16, 80)
        output.append(trajectories(16, 2))
        dataset = output.finish()
    assert dataset.load() == trajectories(0, 18)
    dataset.verify()
    assert names(tmp_path) == ["manifest.json", *(file.name for file in dataset.manifest.files)]
    assert {name: (tmp_path / name).read_bytes() for name in acknowledged} == acknowledged


def test_leaving_the_block_with_an_error_keeps_only_acknowledged_files(
    tmp_path: Path, small_blocks: None
) -> None:
    def fail_midway() -> None:
        with writer(tmp_path) as output:
            output.append(trajectories(0, 4))
            output.flush()
            output.append(trajectories(4, 4))
            raise PermissionError(13, "an input that cannot be read")

    with pytest.raises(PermissionError, match="an input"):
        fail_midway()
    assert names(tmp_path) == ["part-00000.arrow"]
    assert writer(tmp_path).num_trajectories == 4


def test_a_finished_dataset_cannot_be_added_to(dataset: Dataset) -> None:
    with pytest.raises(RunError, match="finished dataset"):
        writer(dataset.path)


def test_a_dataset_of_another_environment_cannot_be_continued(tmp_path: Path) -> None:
    with writer(tmp_path) as output:
        output.append(trajectories(0, 1))
    for spaces, env in [
        (Spaces(SPACES.observation, Discrete(4)), ENV),
        (SPACES, EnvInfo(id="rayrl/Counting-v0", config={"length": 6})),
    ]:
        with pytest.raises(DataError, match="other spaces or another environment"):
            DatasetWriter(tmp_path, spaces=spaces, env=env)


def test_a_gap_between_acknowledged_files_is_named(dataset: Dataset) -> None:
    (dataset.path / "manifest.json").unlink()
    (dataset.path / "part-00001.arrow").unlink()
    with pytest.raises(IntegrityError, match=r"part-00001\.arrow: the file is missing from"):
        writer(dataset.path)


def test_batches_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    batch = trajectories(0, 2)
    output = writer(tmp_path)
    for wrong, words in [
        (batch.drop(["final_obs/prompt"]), "final_obs/prompt: is missing, where the spaces ask for text"),
        (batch.with_columns(actions=np.zeros(10, np.float32)), "actions: is array float32"),
        (batch.with_columns(rewards=np.zeros(9, np.float32)), "rewards: has 9 rows"),
    ]:
        with pytest.raises(DataError, match=words):
            output.append(wrong)
    output.append(batch)
    with pytest.raises(DataError, match="temperature: is a column of some"):
        output.append(batch.with_columns(temperature=np.zeros(10, np.float32)))
    assert output.finish().load() == batch


def test_resumed_batches_must_have_the_columns_of_the_stored_ones(tmp_path: Path) -> None:
    with writer(tmp_path) as output:
        output.append(trajectories(0, 1))
    extra = trajectories(1, 1).with_columns(temperature=np.zeros(5, np.float32))
    with pytest.raises(DataError, match="temperature"):
        writer(tmp_path).append(extra)


def test_a_dataset_without_trajectories_is_refused(tmp_path: Path) -> None:
    output = writer(tmp_path)
    output.append(trajectories(0, 0))
    with pytest.raises(DataError, match="no trajectory"):
        output.finish()
    assert names(tmp_path) == []


def test_unsupported_spaces_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(SpaceError):
        DatasetWriter(tmp_path / "data", spaces=Spaces(SPACES.observation, Text(3)), env=ENV)
    assert names(tmp_path) == []


@pytest.mark.parametrize("value", [float("inf"), object()])
def test_a_configuration_that_is_no_json_is_refused_before_anything_is_made(
    tmp_path: Path, value: object
) -> None:
    with pytest.raises(DataError, match="cannot be written as JSON") as caught:
        DatasetWriter(tmp_path / "data", spaces=SPACES, env=EnvInfo(id="Any-v0", config={"limit": value}))
    assert caught.value.where == "env.config"
    assert names(tmp_path) == []


def test_a_configuration_comes_back_as_json_has_it(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, spaces=SPACES, env=EnvInfo(id="Any-v0", config={"size": (3, 4)})) as output:
        output.append(trajectories(0, 1))
        assert output.finish().env.config == {"size": [3, 4]}


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut_short(folder: Path) -> None:
    path = folder / "part-00001.arrow"
    path.write_bytes(path.read_bytes()[:-100])


def break_footer(folder: Path) -> None:
    path = folder / "part-00001.arrow"
    data = path.read_bytes()
    path.write_bytes(data[:-6] + b"broken")


def swap_origin(folder: Path) -> None:
    edit_manifest(folder, env={"id": "Other-v0", "config": {}})


@pytest.mark.parametrize(
    ("damage", "file", "words"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json", "no finished dataset"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json", "not valid JSON"),
        (lambda folder: edit_manifest(folder, format_version="2.0"), "manifest.json", "'2.0' is not known"),
        (lambda folder: edit_manifest(folder, files=3), "manifest.json", "files = 3"),
        (lambda folder: edit_manifest(folder, spaces={}), "manifest.json", "no known space"),
        (lambda folder: (folder / "part-00001.arrow").unlink(), "part-00001.arrow", "missing"),
        (cut_short, "part-00001.arrow", "bytes, not"),
        (break_footer, "part-00001.arrow", "cannot be read"),
        (swap_origin, "part-00000.arrow", "another environment"),
    ],
)
def test_damage_is_found_on_opening(
    dataset: Dataset, damage: Callable[[Path], object], file: str, words: str
) -> None:
    damage(dataset.path)
    with pytest.raises(IntegrityError, match=words) as caught:
        open_dataset(dataset.path)
    assert caught.value.where == str(dataset.path / file)
    assert caught.value.remedy or "JSON" in caught.value.message


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no such folder"):
        open_dataset(tmp_path / "none")


def test_a_flipped_byte_is_found_by_verifying_with_the_trajectories_hit(dataset: Dataset) -> None:
    index = 2
    path = dataset.path / dataset.manifest.files[index].name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    first = sum(file.trajectories for file in dataset.manifest.files[:index])
    last = first + dataset.manifest.files[index].trajectories - 1
    with pytest.raises(IntegrityError) as caught:
        open_dataset(dataset.path).verify()
    assert caught.value.message == f"part-00002.arrow is altered (trajectories {first} to {last})"


def test_counts_that_are_not_the_files_are_found_by_verifying(dataset: Dataset) -> None:
    manifest = json.loads((dataset.path / "manifest.json").read_text())
    manifest["files"][0]["steps"] += 1
    edit_manifest(dataset.path, files=manifest["files"])
    with pytest.raises(IntegrityError, match=r"part-00000\.arrow holds other counts"):
        open_dataset(dataset.path).verify()


def test_a_full_disk_ends_in_one_error_and_keeps_acknowledged_files(tmp_path: Path) -> None:
    program = """
import resource, sys
from rayrl.errors import StorageError
from tests.experience.test_dataset import trajectories, writer
try:
    with writer(sys.argv[1]) as output:
        output.append(trajectories(0, 10))
        output.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        output.append(trajectories(10, 10_000))
        output.flush()
except StorageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    path = tmp_path / "part-00001.arrow"
    message = "could not write a dataset: the file would exceed the size limit"
    assert done.stdout.startswith(f"{path}: {message}\n")
    assert names(tmp_path) == ["part-00000.arrow"]
    assert writer(tmp_path).finish().load() == trajectories(0, 10)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        writer(tmp_path / "data")


@pytest.mark.chaos
def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    program = """
import itertools, sys
from tests.experience.test_dataset import trajectories, writer
output = writer(sys.argv[1], file_bytes=100_000)
for first in itertools.count(step=1000):
    output.append(trajectories(first, 1000))
"""
    command = [sys.executable, "-c", program, tmp_path]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.arrow"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    with writer(tmp_path) as output:
        stored = output.num_trajectories
        dataset = output.finish()
    assert stored > 1000
    assert dataset.load() == trajectories(0, stored)
    dataset.verify()


def test_a_file_that_cannot_be_flushed_is_none(
    tmp_path: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second file fails while the third is being written: the error comes, and the first file stays."""
    flushed = []
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            flushed.append(descriptor)
            if len(flushed) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    output = writer(tmp_path / "data", file_bytes=4000)

    def write() -> None:
        with output:
            for first in range(0, 60, 2):
                output.append(trajectories(first, 2))

    with pytest.raises(StorageError, match="the disk is full"):
        write()
    assert names(tmp_path / "data") == ["part-00000.arrow"]
    again = writer(tmp_path / "data", file_bytes=4000)
    assert again.num_trajectories == output.num_trajectories > 0
