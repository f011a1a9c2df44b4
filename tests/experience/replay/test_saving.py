"""A saved buffer comes back whole, goes on as the saved one would have, and shows damage."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from hypothesis import given, settings
from hypothesis import strategies as st

from rayrl.errors import IntegrityError, RunError, SpaceError, StorageError
from rayrl.experience.dataset import open_dataset
from rayrl.experience.replay import PartitionOptions, PriorityOptions, ReplayBuffer, ReplayOptions, Where
from tests.experience.replay.building import (
    ENV,
    OPEN,
    SPACES,
    TERMINATED,
    Part,
    batch,
    buffer,
    came_from,
    check_index,
    held,
    in_domains,
)
from tests.experience.replay.test_invariants import histories


def same_draws(a: ReplayBuffer, b: ReplayBuffer) -> None:
    """Draws of all kinds are the same, bit for bit."""
    samplers = ["uniform", "recent", "high_reward", "balanced"]
    samplers += ["prioritized"] if a.options.priorities else []
    for name in samplers:
        x, y = (of.sample_transitions(64, n_step=3, sampler=name) for of in (a, b))
        assert x.row_ids.tolist() == y.row_ids.tolist()
        for column in x.columns:
            np.testing.assert_array_equal(x.columns[column], y.columns[column])  # type: ignore[arg-type]
        if name == "prioritized":
            for of in (a, b):
                of.update_priorities(x.row_ids, np.abs(np.sin(x.row_ids)))
    np.testing.assert_array_equal(a.sample_trajectories(5).actions, b.sample_trajectories(5).actions)


@settings(max_examples=25, deadline=None)
@given(
    histories(),
    histories(),
    st.integers(5, 100),
    st.sampled_from(["fifo", "reservoir"]),
    st.booleans(),
    st.booleans(),
)
def test_a_loaded_buffer_goes_on_as_the_saved_one(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[list[Part]],
    after: list[list[Part]],
    capacity: int,
    eviction: str,
    by_trajectory: bool,
    prioritized: bool,
) -> None:
    unit = "trajectories" if by_trajectory else "steps"
    priorities = PriorityOptions() if prioritized else None
    of = buffer(capacity, unit=unit, eviction=eviction, val_fraction=0.3, priorities=priorities)
    for parts in before:
        of.add(batch(parts))
    if prioritized and len(of):
        row_ids = of.sample_transitions(30).row_ids
        of.update_priorities(row_ids, np.abs(np.cos(row_ids)))
    path = of.save(tmp_path_factory.mktemp("saved") / "buffer")
    loaded = ReplayBuffer.load(path)
    check_index(loaded)
    assert held(loaded) == held(of)
    assert loaded.get_partition_statistics() == of.get_partition_statistics()
    for parts in after:
        for one in (of, loaded):
            one.add(batch(parts))
        check_index(loaded)
        assert held(loaded) == held(of)
        if len(of):
            same_draws(of, loaded)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    options = ReplayOptions(
        partitions={
            "online": PartitionOptions(capacity=200),
            "demos": PartitionOptions(capacity=None, eviction="fixed"),
            "empty": PartitionOptions(),
        },
        block_rows=16,
        fragment_length=4,
        val_fraction=0.25,
    )
    of = ReplayBuffer(SPACES, ENV, options)
    of.add(came_from([(e, 0, 12, TERMINATED) for e in range(20)], 3, 9))
    of.add(in_domains([(50, 0, 30, TERMINATED), (51, 0, 3, OPEN)], ["maze", "router"]), partition="demos")
    of.score(lambda one: one.columns["rewards"] / 1000, policy_version=6)
    return of.save(tmp_path / "saved")


def test_scores_splits_counters_and_marks_come_back(saved: Path) -> None:
    of = ReplayBuffer.load(saved)
    check_index(of)
    assert of.options.fragment_length == 4
    assert of.sample2(3).obs.shape == (3, 4, 2)
    stats = of.get_trajectory_statistics()
    assert stats["num_scored_trajectories"] == stats["num_trajectories"]
    assert of.score(lambda one: 1 / 0, policy_version=6) == 0
    assert of.add(came_from([(0, 0, 12, TERMINATED)], 3, 9)).duplicates == 1
    assert of.get_partition_statistics()["online"]["steps_evicted"] == 40
    assert of.get_partition_statistics()["empty"]["steps"] == 0
    found = of.sample_fragments(20, where=Where(domain="maze")).actions
    assert (found // 1000 == 50).all()
    of.add(in_domains([(51, 3, 3, TERMINATED)], ["router"]), partition="demos")
    assert held(of)[-1] == [51_000 + s for s in range(6)]


def test_each_partition_is_a_dataset(saved: Path) -> None:
    dataset = open_dataset(saved / "demos")
    assert (dataset.num_steps, dataset.env) == (33, ENV)
    dataset.verify()
    of = buffer(None)
    assert of.add_dataset(open_dataset(saved / "online")) == 200


def test_saving_again_replaces(saved: Path) -> None:
    of = ReplayBuffer.load(saved)
    of.add(
        batch([(99, 0, 2, TERMINATED)], **{n: np.zeros(1, t) for n, t in _MARKS.items()}), idempotent=False
    )
    of.save(saved)
    assert held(ReplayBuffer.load(saved)) == held(of)
    assert [entry.name for entry in saved.parent.iterdir()] == ["saved"]


_MARKS = {"producer": np.int32, "epoch": np.int32, "sequence": np.int64}


def test_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    with pytest.raises(RunError, match="is there already, and is no saved replay buffer"):
        buffer().save(tmp_path / "precious")


def test_an_environment_must_have_the_same_spaces(saved: Path) -> None:
    class Env(gym.Env):
        observation_space, action_space = SPACES.observation, SPACES.action

    class Vector(NamedTuple):
        single_observation_space: Any = SPACES.observation
        single_action_space: Any = SPACES.action
        observation_space: Any = Box(0, 1, (8, 2))
        action_space: Any = None

    class Other(gym.Env):
        observation_space, action_space = Box(-1, 1, (3,), np.float32), Discrete(3)

    for env in (None, Env(), Vector()):
        assert len(ReplayBuffer.load(saved, env)) == 233
    with pytest.raises(
        SpaceError, match=r"observation: shape \[2\] against \[3\].*action: n 1000000 against 3"
    ):
        ReplayBuffer.load(saved, Other())


def test_damage_is_found(saved: Path) -> None:
    with pytest.raises(IntegrityError, match="there is no such folder"):
        ReplayBuffer.load(saved / "nope")
    with pytest.raises(IntegrityError, match="is no manifest of a replay buffer"):
        ReplayBuffer.load(saved / "demos")
    part = saved / "demos" / "part-00000.arrow"
    whole = part.read_bytes()
    part.write_bytes(whole[:-100])
    with pytest.raises(IntegrityError, match=r"part-00000.arrow: has \d+ bytes"):
        ReplayBuffer.load(saved)
    part.unlink()
    with pytest.raises(IntegrityError, match="the file is missing"):
        ReplayBuffer.load(saved)
    part.write_bytes(whole)
    manifest = saved / "manifest.json"
    value = json.loads(manifest.read_text())
    value["partitions"][1]["blocks"].append([77, 16])
    manifest.write_text(json.dumps(value))
    with pytest.raises(IntegrityError, match="block 77, which the manifest names, is missing"):
        ReplayBuffer.load(saved)
    manifest.write_text(json.dumps(value | {"format_version": "9"}))
    with pytest.raises(IntegrityError, match="format version '9' is not known"):
        ReplayBuffer.load(saved)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_rows": 1 << 20}, "a power of two of rows"),
        ({"partitions": {"a": {}}}, "not those of the part"),
    ],
)
def test_options_that_do_not_fit_are_refused(saved: Path, options: dict[str, Any], message: str) -> None:
    manifest = saved / "manifest.json"
    value = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(value | {"options": value["options"] | options}))
    with pytest.raises(IntegrityError, match=message):
        ReplayBuffer.load(saved)


def test_row_ids_out_of_range_are_refused(saved: Path) -> None:
    manifest = saved / "manifest.json"
    value = json.loads(manifest.read_text())
    value["partitions"][1]["blocks"][0][1] = 3
    manifest.write_text(json.dumps(value))
    with pytest.raises(IntegrityError, match="row_id: row ids are given twice or out of their block's range"):
        ReplayBuffer.load(saved)


def test_too_little_space_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = buffer()
    of.add(batch([(0, 0, 9, OPEN)]))
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match="takes about 17 MB, and 1 MB are free"):
        of.save(tmp_path / "deep" / "saved")
    assert list(tmp_path.iterdir()) == []


PEAK = """
import sys
from pathlib import Path

def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024

def forget_peak():
    # What a process had before it was this program counts as well, if it is not forgotten.
    Path("/proc/self/clear_refs").write_text("5")
    return peak()
"""

SAVE = """
import numpy as np
from gymnasium.spaces import Box
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.ragged import offsets_of
from rayrl.experience.replay import PartitionOptions, ReplayBuffer, ReplayOptions
from rayrl.storage.spaces import Spaces

def fill():
    spaces = Spaces(Box(-1, 1, (256,), np.float32), Box(-1, 1, (1,), np.float32))
    options = ReplayOptions(partitions={"a": PartitionOptions(capacity=None)})
    of = ReplayBuffer(spaces, EnvInfo(id="x"), options)
    for i in range(60):
        of.add(TrajectoryBatch(
            {"obs": np.ones((4096, 256), np.float32), "actions": np.ones((4096, 1), np.float32),
             "rewards": np.ones(4096, np.float32)}, offsets_of([4096]),
            {"episode_id": np.zeros((1, 2), np.uint64), "first_step": np.array([4096 * i]),
             "terminated": np.zeros(1, bool), "truncated": np.zeros(1, bool),
             "final_obs": np.ones((1, 256), np.float32)}))
    return of

of = fill()
before = forget_peak()
of.save(sys.argv[1])
print(peak() - before)
"""

LOAD = """
from rayrl.experience.replay import ReplayBuffer

before = forget_peak()
of = ReplayBuffer.load(sys.argv[1])
print(peak() - before)
"""


def megabytes(code: str, path: Path) -> float:
    """By how much the memory of a fresh process grows at most."""
    command = [sys.executable, "-c", PEAK + code, str(path)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_saving_and_loading_take_constant_memory(tmp_path: Path) -> None:
    """One endless episode of 254 MB is saved with a part of that beside it, and so it is loaded.

    Beside the loaded buffer there are one mapped file of 64 MB at a time, and one block.
    """
    assert megabytes(SAVE, tmp_path / "saved") < 120
    of = ReplayBuffer.load(tmp_path / "saved")
    assert (len(of), of.num_trajectories) == (60 * 4096, 1)
    payload = 60 * 4096 * (256 + 2) * 4 / 2**20
    assert payload < megabytes(LOAD, tmp_path / "saved") < payload + 160
