import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from rayrl.envs.demonstrators import make_demonstrator
from rayrl.envs.mine_maze.replay import Replay, read_replays
from rayrl.envs.mine_maze.suite import ENV_ID
from rayrl.errors import ConfigError, DataError, RunError
from rayrl.experience import columns as c
from rayrl.experience.split import split
from rayrl.rollout.behavior import DemonstratorBehavior
from rayrl.rollout.maze_replays import import_replays, record_replays, write_replays

OPTIONS: dict[str, Any] = {"categories": {"simple": 1, "medium": 1}, "levels": 30}


def recorded(name: str = "planner", episodes: int = 12, **options: Any) -> list[Replay]:
    behavior = DemonstratorBehavior(name, make_demonstrator(ENV_ID, name, seed=0))
    return record_replays(behavior, name, episodes, config=OPTIONS | options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "replays.json"
    write_replays(path, [*recorded(), *recorded("random", 4)])
    return path


def play(folder: Path, replay: Replay) -> tuple[list[Any], list[float]]:
    """What an environment shows before each of the actions, and after the last; and the rewards."""
    level = replay.level
    suite = {
        "format": "rayrl-suite",
        "version": 1,
        "name": "one",
        "env": ENV_ID,
        "generator": 1,
        "split": "any",
        "categories": {
            level.category: [
                {
                    "id": "it",
                    "seed": level.seed,
                    "content": level.content,
                    "sha256": level.sha256,
                    "difficulty": level.difficulty,
                    "planner_steps": level.optimal_steps,
                }
            ]
        },
    }
    path = folder / "one.json"
    path.write_text(json.dumps(suite))
    sizes = {"sized_for": list(OPTIONS["categories"]), "max_steps": replay.max_steps}
    env: Any = gymnasium.make(ENV_ID, level_file=str(path), **sizes).unwrapped
    seen, rewards = [env.reset(seed=0)[0]], []
    for action in replay.actions:
        observation, reward, *_ = env.step(action)
        seen.append(observation)
        rewards.append(reward)
    return seen, rewards


def test_observations_are_those_before_the_actions(file: Path, tmp_path: Path) -> None:
    dataset = import_replays(file, tmp_path / "set", OPTIONS)
    replays = {replay.level.sha256 + str(replay.actions): replay for replay in read_replays(file)}
    assert dataset.num_trajectories == 16
    for stored in dataset.batches():
        batch = stored.with_static_parts_by_step()
        columns: Any = batch.columns
        for i, task in enumerate(batch.trajectory_columns[c.TASK].to_text()):
            rows = slice(batch.offsets[i], batch.offsets[i + 1])
            replay = replays[task + str(tuple(columns[c.ACTIONS][rows].tolist()))]
            seen, rewards = play(tmp_path, replay)
            parts = [c.flatten_observation(observation) for observation in seen]
            for name in parts[0]:
                np.testing.assert_array_equal(
                    columns[name][rows], np.array([part[name] for part in parts[:-1]])
                )
                final = batch.trajectory_columns[name.replace(c.OBS, c.FINAL_OBS, 1)][i]
                np.testing.assert_array_equal(final, parts[-1][name])
            np.testing.assert_array_equal(columns[c.REWARDS][rows], np.array(rewards, np.float32))


def test_the_planners_action_fits_the_observation_that_stands_beside_it(file: Path, tmp_path: Path) -> None:
    """The position in the row after an action is where the action leads from the position in its own row."""
    dataset = import_replays(file, tmp_path / "set", OPTIONS | {"observations": ["game_state"]})
    for batch in dataset.batches():
        columns: Any = batch.columns
        state, actions = columns["obs/game_state"], columns[c.ACTIONS]
        for i, name in enumerate(batch.trajectory_columns[c.DEMONSTRATOR].to_text()):
            if name != "planner":
                continue
            rows = range(batch.offsets[i], batch.offsets[i + 1] - 1)
            for t in rows:
                moved = (state[t + 1, 0] - state[t, 0], state[t + 1, 1] - state[t, 1])
                expected = [(0, 0), (-1, 0), (0, 1), (1, 0), (0, -1)][actions[t]]
                assert np.sign(np.round(moved, 4)).tolist() == list(expected)


def test_a_replay_is_an_imported_episode_and_split_as_a_whole(file: Path, tmp_path: Path) -> None:
    dataset = import_replays(file, tmp_path / "set", OPTIONS)
    batches = list(dataset.batches())
    columns: Any = {
        name: np.concatenate([batch.trajectory_columns[name] for batch in batches])
        for name in (c.EPISODE_ID, c.SOURCE, c.TERMINATED, c.TRUNCATED, c.EPISODE_SUCCESS)
    }
    assert (columns[c.SOURCE] == c.Source.import_).all()
    assert len(np.unique(columns[c.EPISODE_ID], axis=0)) == 16
    assert (columns[c.TERMINATED] | columns[c.TRUNCATED]).all()
    assert columns[c.EPISODE_SUCCESS].sum() >= 12
    sides = split(columns[c.EPISODE_ID], 0.25, seed=0)
    assert (sides == c.Split.val).sum() == 4
    assert dataset.manifest.extra["import"]["replays"] == 16


def test_a_replay_that_was_cut_off_stays_open(tmp_path: Path) -> None:
    whole = recorded(episodes=3)
    cut = [
        Replay(f"cut_{i}", replay.level, replay.actions[:-1], replay.max_steps, None)
        for i, replay in enumerate(whole)
    ]
    write_replays(tmp_path / "replays.json", [*whole, *cut])
    (batch,) = import_replays(tmp_path / "replays.json", tmp_path / "set", OPTIONS).batches()
    columns: Any = batch.trajectory_columns
    lengths = {}
    for i, (name, over, length) in enumerate(
        zip(columns[c.DEMONSTRATOR].to_text(), columns[c.TERMINATED], batch.lengths, strict=True)
    ):
        assert over == (name == "planner")
        assert np.isnan(columns[c.EPISODE_SUCCESS][i]) == (not over)
        lengths.setdefault(name, []).append(int(length))
    assert sorted(n - 1 for n in lengths["planner"]) == sorted(lengths["replay"])


def test_the_same_file_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    first, again = (import_replays(file, tmp_path / name, OPTIONS) for name in ("one", "two"))
    assert first.manifest.files == again.manifest.files


def test_spaces_are_those_of_the_options_or_of_the_replays(file: Path, tmp_path: Path) -> None:
    training = gymnasium.make_vec(ENV_ID, num_envs=1, **OPTIONS).unwrapped
    wanted = training.single_observation_space
    assert import_replays(file, tmp_path / "set", OPTIONS).spaces.observation == wanted
    # Of simple and medium levels, too.
    assert import_replays(file, tmp_path / "own").spaces.observation == wanted
    # No option at all is an environment with its own defaults, and not none.
    by_default = gymnasium.make_vec(ENV_ID, num_envs=1).unwrapped
    assert import_replays(file, tmp_path / "plain", {}).spaces.observation == (
        by_default.single_observation_space
    )
    with pytest.raises(DataError, match=r"replay 'planner_\d+': its level of .* does not fit into obs"):
        import_replays(file, tmp_path / "small", {"categories": {"very_simple": 1}})
    with pytest.raises(ConfigError, match="observation: unknown key; did you mean 'observations'"):
        import_replays(file, tmp_path / "wrong", {"observation": []})
    assert not (tmp_path / "small").exists()
    with pytest.raises(RunError, match="is there already"):
        import_replays(file, tmp_path / "set", OPTIONS)


def test_recording_plays_whole_episodes_and_says_how_they_ended() -> None:
    replays = recorded(episodes=70, max_steps=40)
    assert [replay.id for replay in replays][::69] == ["planner_00000", "planner_00069"]
    assert {replay.max_steps for replay in replays} == {40}
    for replay in replays:
        if replay.level.optimal_steps < 40:
            assert (replay.ended, len(replay.actions)) == ("success", replay.level.optimal_steps)
    limits = [2 * len(replay.level.maze.kinds) for replay in recorded("random", 5)]
    assert [replay.max_steps for replay in recorded("random", 5)] == limits
