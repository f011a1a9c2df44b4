import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rayrl.envs.mine_maze.suite import ENV_ID
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, DataError
from rayrl.experience import columns as c
from rayrl.experience.columns import Split
from rayrl.experience.split import select_split, with_split
from rayrl.rollout.demo_plan import spaces_of
from rayrl.rollout.maze_replays import simulate_replays
from rayrl.rollout.options import CollectOptions
from rayrl.rollout.replay_demos import plan_replays

STATE: dict[str, Any] = {"categories": {"simple": 1}, "observations": ["game_state"]}
MAZE = EnvSpec(id=ENV_ID, config=STATE)


def replay(name: str, actions: str, **more: Any) -> dict[str, Any]:
    level = {"category": "simple", "content": ["S*E", "..."]}
    return {"id": name, "actions": actions, "level": level, **more}


def written(path: Path, *replays: dict[str, Any], **more: Any) -> CollectOptions:
    document = {"format": "rayrl-replays", "version": 1, "env": ENV_ID, "replays": replays}
    path.write_text(json.dumps(document | more))
    return CollectOptions(replays=path)


def test_statistics_are_by_the_demonstrator_that_a_replay_names(tmp_path: Path) -> None:
    options = written(
        tmp_path / "replays.json",
        replay("a", "DRRU", ended="success", demonstrator="ann"),
        replay("b", "R", ended="death_by_mine", demonstrator="ann"),
        replay("c", ".D"),
    )
    dataset = simulate_replays(plan_replays(MAZE, options), tmp_path / "set")
    assert dataset is not None
    assert dataset.spaces == spaces_of(MAZE)
    # 1 − 4 · 0.01, and −0.5 − 0.01.
    mean = (0.96 - 0.51) / 2
    assert dataset.manifest.extra["demonstrators"] == {
        "ann": {
            "steps": 5,
            "episodes": 2,
            "return_mean": pytest.approx(mean, abs=1e-6),
            "actions": [0, 1, 3, 1, 0],
        },
        "replay": {"steps": 2, "episodes": 0, "return_mean": None, "actions": [1, 0, 0, 1, 0]},
    }
    first = options.model_copy(update={"first_replays": 1})
    cut = simulate_replays(plan_replays(MAZE, first), tmp_path / "set")
    assert cut is not None
    assert (cut.num_trajectories, cut.num_steps) == (1, 4)


def test_no_replay_is_on_both_sides_of_a_split(tmp_path: Path) -> None:
    # Replay k stays k times before it goes: its length tells which it is.
    replays = [
        replay(str(k), "." * k + "R", ended="death_by_mine", demonstrator="ab"[k % 2]) for k in range(7)
    ]
    dataset = simulate_replays(
        plan_replays(MAZE, written(tmp_path / "replays.json", *replays)), tmp_path / "set"
    )
    assert dataset is not None
    whole = with_split(dataset.load(), 0.3, seed=0, strata=c.DEMONSTRATOR)
    sides = [select_split(whole, side) for side in (Split.train, Split.val)]
    lengths = [set(np.asarray(side.lengths).tolist()) for side in sides]
    assert not lengths[0] & lengths[1]
    assert lengths[0] | lengths[1] == {1, 2, 3, 4, 5, 6, 7}
    assert [len(each) for each in lengths] == [5, 2]


def test_asked_to_stop_it_leaves_nothing(tmp_path: Path) -> None:
    options = written(tmp_path / "replays.json", replay("a", "D"))
    stopped = simulate_replays(plan_replays(MAZE, options), tmp_path / "set", stop_requested=lambda: True)
    assert stopped is None
    assert [path.name for path in tmp_path.iterdir()] == ["replays.json"]


def test_what_does_not_fit_is_refused_before_anything_is_simulated(tmp_path: Path) -> None:
    file = tmp_path / "replays.json"
    good = written(file, replay("a", "D"))
    assert len(plan_replays(MAZE, good).replays) == 1
    with pytest.raises(ConfigError, match=r"replays are of rayrl/MineMaze-v0, and env.id is CartPole-v1"):
        plan_replays(EnvSpec(id="CartPole-v1"), good)
    large = {"category": "medium", "content": ["S" + "." * 9 + "E", *["." * 11] * 10]}
    for replays, message in (
        (
            [replay("a", "DRR", ended="success")],
            r"replay 'a'.*ended = 'success', and its actions come to None",
        ),
        ([], r"replays = \[\]"),
        ([replay("big", "D") | {"level": large}], "replay 'big'.*does not fit into observations"),
    ):
        with pytest.raises(DataError, match=message):
            plan_replays(MAZE, written(file, *replays))
    with pytest.raises(DataError, match="env = 'rayrl/Router-v0'"):
        plan_replays(MAZE, written(file, replay("a", "D"), env="rayrl/Router-v0"))
    file.write_text("")
    with pytest.raises(DataError, match="is no JSON"):
        plan_replays(MAZE, CollectOptions(replays=file))


@pytest.mark.parametrize("named", [{"demonstrators": {"planner": 1}}, {"scenarios": {"night": 0.5}}])
def test_replays_and_demonstrators_are_not_both_named(tmp_path: Path, named: dict[str, Any]) -> None:
    (tmp_path / "replays.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"stands in the place of demonstrators, and collect\.\w+ names"):
        CollectOptions.parse({**named, "replays": str(tmp_path / "replays.json")}, where="collect")
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        CollectOptions.parse({"replays": str(tmp_path / "none.json")}, where="collect")
