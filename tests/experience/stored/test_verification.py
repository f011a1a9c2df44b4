"""Damage is found, and the trajectories that it hits are named."""

import json
from pathlib import Path

import pytest

from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.stored.opening import open_stored
from rayrl.experience.stored.verification import verify
from tests.experience.replay.building import ENV, SPACES, TERMINATED, batch
from tests.experience.stored.building import dataset, saved_buffer


def problems(path: Path) -> list[str]:
    return [str(problem).removeprefix(f"{path}/") for problem in verify(open_stored(path))]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_what_is_whole_has_no_problem(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    assert verify(open_stored(dataset(tmp_path / "set")), lambda *done: told.append(done)) == []
    assert told[-1][0] == told[-1][1] > 0
    assert problems(saved_buffer(tmp_path / "buffer")) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_any_flipped_byte_is_found(tmp_path: Path, share: float) -> None:
    """Wherever it is; the file holds trajectory 3 alone."""
    path = dataset(tmp_path / "set")
    file = path / "part-00003.arrow"
    flip(file, int(share * file.stat().st_size))
    (found,) = problems(path)
    assert found.startswith(
        "part-00003.arrow: is altered: its sha256 is not the recorded one; trajectories 3 to 3"
    )


def test_episodes_of_an_altered_file_are_named_by_id(tmp_path: Path) -> None:
    path = dataset(tmp_path / "set")
    flip(path / "part-00003.arrow", (path / "part-00003.arrow").stat().st_size - 1)
    (found,) = verify(open_stored(path))
    assert found.episodes == (f"{0:016x}{3:016x}",)
    assert (found.first, found.last) == (3, 3)


def test_a_file_cut_short_loses_only_what_is_behind_the_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four Arrow batches of 5 trajectories in one file; 60 % of it are two batches and a bit."""
    monkeypatch.setattr("rayrl.experience.dataset_writer._BLOCK_ROWS", 500)
    with DatasetWriter(tmp_path / "set", spaces=SPACES, env=ENV) as writer:
        for first in range(0, 20, 5):
            writer.append(batch([(first + i, 0, 100, TERMINATED) for i in range(5)]))
        writer.finish()
    file = tmp_path / "set" / "part-00000.arrow"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * 0.6)])
    (found,) = problems(tmp_path / "set")
    size = int(len(whole) * 0.6)
    assert found == (
        f"part-00000.arrow: is cut short: {size:,} of {len(whole):,} bytes, of which trajectories 0 to 9 can "
        "be read; trajectories 10 to 19"
    )
    file.write_bytes(whole[:-50])
    assert problems(tmp_path / "set")[0].endswith(
        "trajectories 0 to 19 can be read, and only the footer is lost"
    )
    file.write_bytes(b"")
    assert problems(tmp_path / "set")[0].endswith("bytes; trajectories 0 to 19")
    file.write_bytes(whole + b"more")
    assert "bytes, not" in problems(tmp_path / "set")[0]


def test_each_missing_file_is_named(tmp_path: Path) -> None:
    path = dataset(tmp_path / "set")
    for number in (0, 30):
        (path / f"part-{number:05d}.arrow").unlink()
    assert problems(path) == [
        "part-00000.arrow: is missing; trajectories 0 to 0",
        "part-00030.arrow: is missing; trajectories 30 to 30",
    ]


def test_counts_that_the_manifest_has_wrong(tmp_path: Path) -> None:
    path = dataset(tmp_path / "set")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][1]["steps"] += 1
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert problems(path) == [
        "part-00001.arrow: holds 1 trajectories and 7 steps, where the manifest says 1 and 8; "
        "trajectories 1 to 1"
    ]


def test_a_buffer_without_one_of_its_partitions(tmp_path: Path) -> None:
    path = saved_buffer(tmp_path / "buffer")
    (path / "demos" / "manifest.json").unlink()
    flip(path / "online" / "part-00000.arrow", 5000)
    assert problems(path)[0] == "demos/manifest.json: there is no finished dataset here"
    assert problems(path)[1].startswith("online/part-00000.arrow: is altered")


def test_a_buffer_whose_parts_are_not_of_one_save(tmp_path: Path) -> None:
    path = saved_buffer(tmp_path / "buffer")
    manifest = json.loads((path / "manifest.json").read_text())
    online = manifest["partitions"][0]
    online["counters"]["steps_evicted"] += 1
    online["blocks"].pop()
    manifest["next_trajectory"] = 3
    (path / "manifest.json").write_text(json.dumps(manifest))
    found = problems(path)
    assert found[0] == "manifest.json: says that partition 'online' holds 199 steps, and it holds 200"
    assert "has rows of block" in found[1]
    assert found[-1] == "manifest.json: says that 3 trajectories were begun, and one has id 21"
