"""Pickles of known layouts become datasets; expected steps are worked out by hand."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rayrl.errors import ConfigError, DataError, IntegrityError, RunError
from rayrl.experience.dataset import EnvInfo, open_dataset
from rayrl.experience.legacy.importing import LegacyOptions, import_legacy
from rayrl.experience.replay import ReplayBuffer
from rayrl.storage.spaces import Spaces
from tests.experience.legacy import pickles


def imported(tmp_path: Path, value: Any, **options: Any) -> tuple[Any, Any]:
    """The report, and each trajectory's observations, final one, terminated, truncated, side and return."""
    file = pickles.dump(tmp_path / "file.pkl", value)
    report = import_legacy(file, tmp_path / "out", trust=True, options=LegacyOptions(**options))
    dataset = open_dataset(tmp_path / "out")
    dataset.verify()
    batch = dataset.load()
    steps: Any = batch.columns
    columns: Any = batch.trajectory_columns
    assert (steps["actions"][:, 0] == -steps["obs"][:, 0]).all()
    assert (steps["obs"][:, 1] == steps["obs"][:, 0] + 0.5).all()
    shown = steps["obs"][:, 0].astype(int).tolist()
    return report, [
        (
            shown[a:b],
            int(columns["final_obs"][i, 0]),
            bool(columns["terminated"][i]),
            bool(columns["truncated"][i]),
            int(columns["split"][i]),
            columns["episode_return"][i],
        )
        for i, (a, b) in enumerate(zip(batch.offsets[:-1], batch.offsets[1:], strict=True))
    ]


TRAIN, VAL = 1, 2


def test_episodes_that_are_reset_with_the_next_step(tmp_path: Path) -> None:
    """Rows 3 and 8 are resets: they show the final observations of the episodes 0-2 and 4-7.

    The rollouts are rows 0-4 and 5-9; the second episode lies on both, and stays on the side it began on. Row
    9 is the only one of an episode whose next observation is in no row.
    """
    done = np.isin(np.arange(16), [3, 8])
    value = pickles.buffer(
        range(16), done, [(0, 5, "val"), (5, 5, "train")], size=10, pos=10, rewards=np.where(done, 0, 2)
    )
    report, found = imported(tmp_path, value)
    assert found == [([0, 1, 2], 3, True, False, VAL, 6.0), ([4, 5, 6, 7], 8, True, False, VAL, 8.0)]
    assert report.dropped == {
        "resets, which are no steps": 2,
        "last steps of open ends, whose next observation is not known": 1,
        "on-policiness scores: sums over rollouts, not episodes": 2,
    }
    assert any("3 steps changed their side" in note for note in report.notes)


def test_episodes_that_are_reset_with_the_same_step(tmp_path: Path) -> None:
    """Rows 3 and 8 have rewards: they begin episodes, and the final observations are nowhere.

    The last observations of the episodes, 2 and 7, stand in. Of the open one of rows 8 and 9, row 9 is its
    next observation.
    """
    done = np.isin(np.arange(16), [3, 8])
    value = pickles.buffer(range(16), done, [(0, 10, "train")], size=10, pos=10, rewards=[2] * 16)
    report, found = imported(tmp_path, value)
    assert found[:2] == [
        ([0, 1, 2], 2, True, False, TRAIN, 6.0),
        ([3, 4, 5, 6, 7], 7, True, False, TRAIN, 10.0),
    ]
    assert found[2][:5] == ([8], 9, False, False, TRAIN)
    assert np.isnan(found[2][5])
    assert any("final observations of those before were not saved" in note for note in report.notes)


def test_a_ring_that_went_round(tmp_path: Path) -> None:
    """Capacity 10, rollouts of 4 rows: the third went over the end onto rows 0-1, where the first had been.

    The original keeps the first rollout in its list where it does not notice; what is left of it, rows 2-3,
    goes on in the second one's 4-7. The episode of rows 2-6 has no known beginning. Rows 8, 9, 0, 1 are of
    the third. Row 7 is flagged, a reset.
    """
    done = np.arange(10) == 7
    rollouts = [(0, 4, "train"), (4, 4, "train"), (8, 4, "train")]
    value = pickles.buffer(range(10), done, rollouts, size=10, pos=2, rewards=np.where(done, 0, 1))
    report, found = imported(tmp_path, value)
    assert [one[:4] for one in found] == [([2, 3, 4, 5, 6], 7, True, False), ([8, 9, 0], 1, False, False)]
    assert np.isnan([one[5] for one in found]).all()
    assert report.dropped["rows that a newer rollout overwrote, or that are not in use"] == 2


def test_two_environments_that_took_turns(tmp_path: Path) -> None:
    """Rows 0, 2, 4, … are of the first environment, the others of the second, on through both rollouts."""
    done = np.arange(12) == 5
    rollouts = [(0, 6, "train"), (6, 6, "train")]
    value = pickles.buffer(range(12), done, rollouts, size=12, pos=0, rewards=np.where(done, 0, 1))
    _, found = imported(tmp_path, value, num_envs=2)
    assert [one[:3] for one in found] == [
        ([0, 2, 4, 6, 8], 10, False),
        ([1, 3], 5, True),
        ([7, 9], 11, False),
    ]
    (tmp_path / "again").mkdir()
    with pytest.raises(DataError, match="rollout 0 has 6 rows, which 4 environments cannot have filled"):
        imported(tmp_path / "again", value, num_envs=4)


def test_episodes_of_one_length_ended_at_a_limit(tmp_path: Path) -> None:
    done = np.isin(np.arange(12), [3, 7, 11])
    value = pickles.buffer(range(12), done, [(0, 12, "train")], size=12, pos=0, rewards=np.where(done, 0, 1))
    report, found = imported(tmp_path, {**value, "capacity": 12})
    assert [one[2:4] for one in found] == [(False, True)] * 3
    assert any("2 whole episodes have 3 steps" in note for note in report.notes)
    (tmp_path / "again").mkdir()
    _, found = imported(tmp_path / "again", value, ends="terminated")
    assert [one[2:4] for one in found] == [(True, False)] * 3


def test_an_imported_buffer_can_be_sampled(tmp_path: Path) -> None:
    rows = 5000
    done = np.arange(rows) % 101 == 100
    rollouts = [(start, 1000, "val" if start == 0 else "train") for start in range(0, rows, 1000)]
    folder = tmp_path / "HalfCheetah-v5__pref_ppo__1__17"
    folder.mkdir()
    value = pickles.buffer(range(rows), done, rollouts, size=rows, pos=0, rewards=np.where(done, 0, 1))
    imported(folder, value)
    dataset = open_dataset(folder / "out")
    assert dataset.env == EnvInfo(id="HalfCheetah-v5")
    of = ReplayBuffer(dataset.spaces, dataset.env)
    of.add_dataset(dataset)
    assert of.sample_fragments(8, 50, split="val").obs.shape == (8, 50, 2)
    assert dataset.manifest.extra["import"]["read"]["rollouts"] == 5


def test_demonstrations(tmp_path: Path) -> None:
    value = pickles.demonstrations(20)
    value["demo_data"] += [
        {"state": np.zeros(5, np.float32), "action": 0, "policy": "lor"},
        {"state": np.zeros(6, np.float32), "action": None, "policy": "lor"},
        {"state": None, "action": 1, "policy": "lor"},
        {"state": [1, 2, 3, 4, 5, 6], "action": 1, "policy": "lor"},
    ]
    file = pickles.dump(tmp_path / "demo.pkl", value)
    report = import_legacy(file, tmp_path / "out", trust=True)
    assert report.dropped == {
        "samples whose state has another length than the first one's 6": 1,
        "samples whose action is no number from 0 on": 1,
        "samples whose state is no vector of numbers": 1,
    }
    dataset = open_dataset(tmp_path / "out")
    batch = dataset.load()
    columns: Any = batch.trajectory_columns
    assert (batch.num_trajectories, batch.num_steps) == (21, 21)
    assert dataset.spaces.action == gym.spaces.Discrete(4)
    assert columns["demonstrator"].to_text()[:3] == ["round_robin", "lor", "round_robin"]
    assert set(columns["source"].tolist()) == {3}
    assert batch.columns["obs"][7].tolist() == [7.0] * 6
    assert np.isnan(batch.columns["rewards"]).all()
    assert dataset.manifest.extra["import"]["read"]["statistics"]["total_samples"] == 20


def test_the_environments_spaces_are_held_against_the_columns(tmp_path: Path) -> None:
    file = pickles.dump(tmp_path / "demo.pkl", pickles.demonstrations(20))
    box = gym.spaces.Box(0, 100, (6,), np.float64)
    env = EnvInfo(id="rayrl/Router-v0")
    import_legacy(
        file,
        tmp_path / "out",
        trust=True,
        options=LegacyOptions(spaces=Spaces(box, gym.spaces.Discrete(9)), env=env),
    )
    assert open_dataset(tmp_path / "out").spaces.observation == box
    for spaces, message in (
        (
            Spaces(gym.spaces.Box(0, 1, (7,)), gym.spaces.Discrete(4)),
            r"obs: has \(6,\) for each step.*has \(7,\)",
        ),
        (Spaces(box, gym.spaces.Discrete(3)), "actions: goes from 0 to 3, where the environment has 0 to 2"),
    ):
        with pytest.raises(DataError, match=message):
            import_legacy(file, tmp_path / "not", trust=True, options=LegacyOptions(spaces=spaces, env=env))
        assert not (tmp_path / "not").exists()


def test_levels_become_json(tmp_path: Path) -> None:
    root = tmp_path / "levels"
    for category in ("simple", "complex"):
        (root / category).mkdir(parents=True)
        for number in range(2):
            pickles.dump(root / category / f"{number}.pkl", pickles.level(number, category))
    report = import_legacy(root, tmp_path / "out", trust=True)
    assert report.read == {"layout": "level", "levels": 4, "categories": {"complex": 2, "simple": 2}}
    assert report.notes == ["2 levels have maps of levels before them; all are kept"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "levels.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == [
        "complex/0.pkl",
        "complex/1.pkl",
        "simple/0.pkl",
        "simple/1.pkl",
    ]
    assert lines[3]["map_data"] == pickles.level(1)["map_data"]
    assert lines[3]["metadata"] == {"difficulty": 0.5, "size": 3, "tiles": [0, 1, 2, 3]}
    assert json.loads((tmp_path / "out" / "import.json").read_text())["read"]["levels"] == 4


def test_a_level_among_others_is_told_apart(tmp_path: Path) -> None:
    pickles.dump(tmp_path / "a.pkl", pickles.level(1))
    pickles.dump(tmp_path / "b.pkl", pickles.demonstrations(4))
    with pytest.raises(DataError, match=r"b\.pkl: is a demonstrations, and no level"):
        import_legacy(tmp_path, tmp_path / "out", trust=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acts": 3}, "has acts that is neither an array nor a tensor"),
        ({"size": 17}, "has 16 rows, capacity 16 and size 17"),
        ({"size": "a"}, "has size 'a', where a number is due"),
        ({"trajectories": [{"start_pos": 0}]}, "has a trajectory without length"),
        ({"trajectories": 3}, "has trajectories that is no list"),
        ({"trajectories": []}, "holds no step whose next observation is known"),
    ],
)
def test_a_buffer_that_does_not_hold_together_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    value = pickles.buffer(range(16), [0] * 16, [(0, 10, "train")], size=10, pos=10, rewards=[1] * 16)
    with pytest.raises(DataError, match=message):
        imported(tmp_path, value | change)
    assert not (tmp_path / "out").exists()


def test_what_stands_there_stays(tmp_path: Path) -> None:
    file = pickles.dump(tmp_path / "demo.pkl", pickles.demonstrations(4))
    with pytest.raises(RunError, match="is there already"):
        import_legacy(file, tmp_path, trust=True)
    with pytest.raises(IntegrityError, match="there is no such file"):
        import_legacy(tmp_path / "none", tmp_path / "out", trust=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(IntegrityError, match=r"there is no \.pkl file below it"):
        import_legacy(tmp_path / "empty", tmp_path / "out", trust=True)
    pickles.dump(tmp_path / "level.pkl", pickles.level(1))
    with pytest.raises(ConfigError, match="holds levels, which --env"):
        import_legacy(tmp_path / "level.pkl", tmp_path / "out", trust=True, options=LegacyOptions(num_envs=2))
    with pytest.raises(ConfigError, match="are for replay buffers"):
        import_legacy(file, tmp_path / "out", trust=True, options=LegacyOptions(num_envs=2))
