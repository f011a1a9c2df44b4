import json
from pathlib import Path

import pytest

from rayrl.errors import IntegrityError
from rayrl.experience.replay import ReplayBuffer
from rayrl.experience.stored.info import describe
from rayrl.experience.stored.opening import open_stored
from rayrl.experience.stored.statistics import statistics
from tests.experience.replay.building import ENV, SPACES
from tests.experience.stored.building import dataset, saved_buffer


def test_a_dataset(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = describe(open_stored(dataset(tmp_path / "set")), lambda *done: told.append(done))
    json.dumps(found, allow_nan=False)
    assert (found["kind"], found["trajectories"], found["steps"], len(found["files"])) == (
        "dataset",
        31,
        524,
        31,
    )
    assert found["counts"] == {
        "domain": {
            "a": {"trajectories": 11, "steps": 404},
            "maze": {"trajectories": 10, "steps": 50},
            "router": {"trajectories": 10, "steps": 70},
        },
        "source": {"rollout": {"trajectories": 31, "steps": 524}},
    }
    assert found["columns"]["obs"] == {"kind": "array", "dtype": "float32", "shape": [2]}
    assert found["trajectory_columns"]["domain"]["kind"] == "text"
    assert found["env"]["id"] == ENV.id
    assert found["extra"] == {"made": "here"}
    assert found["bytes"] == sum(file.stat().st_size for file in (tmp_path / "set").glob("*.arrow"))
    assert told[-1] == (524, 524)


def test_a_buffer_counts_trajectories_once(tmp_path: Path) -> None:
    path = saved_buffer(tmp_path / "buffer")
    found, buffer = describe(open_stored(path)), ReplayBuffer.load(path)
    assert (found["trajectories"], found["steps"]) == (buffer.num_trajectories, len(buffer)) == (19, 233)
    assert found["counts"]["partition"] == {
        "demos": {"trajectories": 2, "steps": 33},
        "online": {"trajectories": 17, "steps": 200},
    }
    split, stats = found["counts"]["split"], buffer.get_trajectory_statistics()
    assert split["train"]["trajectories"] == stats["num_train_trajectories"]
    assert split["val"]["trajectories"] == stats["num_val_trajectories"]
    assert found["options"]["partitions"]["online"]["capacity"] == 200


def test_statistics_of_a_dataset_by_hand(tmp_path: Path) -> None:
    """Rewards of episode e are 1000 e + s: of the first trajectory 0 + 1 + 2 + 3 + 4 = 10."""
    found = statistics(open_stored(dataset(tmp_path / "set")))
    json.dumps(found, allow_nan=False)
    lengths, returns = found["lengths"], found["returns"]
    assert [lengths[name] for name in ("count", "min", "q25", "median", "q75", "max")] == [
        31,
        4,
        5,
        7,
        40,
        40,
    ]
    assert returns["min"] == 10
    assert returns["max"] == 29_000 * 40 + 39 * 20
    assert found["ends"] == {"terminated": 11, "truncated": 10, "open": 10}
    assert found["rewards"]["count"] == sum(found["actions"]["counts"].values()) == 524
    assert found["actions"]["counts"]["29043"] == 1
    assert found["policy_versions"] == {"oldest": None, "newest": None}


def test_statistics_of_a_buffer_are_its_own(tmp_path: Path) -> None:
    path = saved_buffer(tmp_path / "buffer")
    found, buffer = statistics(open_stored(path)), ReplayBuffer.load(path)
    assert found["buffer"] == pytest.approx(buffer.get_trajectory_statistics())
    for name, own in buffer.get_partition_statistics().items():
        own.pop("blocks")
        assert found["partitions"][name] == own
    assert found["lengths"]["count"] == 19
    assert found["ends"] == {"terminated": 18, "truncated": 0, "open": 1}


def test_an_empty_buffer(tmp_path: Path) -> None:
    path = ReplayBuffer(SPACES, ENV).save(tmp_path / "buffer")
    found = describe(open_stored(path))
    assert (found["trajectories"], found["files"], found["columns"]) == (0, [], {})
    assert statistics(open_stored(path))["lengths"]["count"] == 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = dataset(tmp_path / "set")
    (path / "part-00007.arrow").unlink()
    for look in (describe, statistics):
        with pytest.raises(IntegrityError, match=r"part-00007\.arrow: the file is missing"):
            look(open_stored(path))
