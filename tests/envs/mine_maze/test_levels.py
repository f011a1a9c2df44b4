from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rayrl.envs.mine_maze.config import MineMazeConfig
from rayrl.envs.mine_maze.levels import LevelSource, level_source
from rayrl.errors import ConfigError
from tests.envs.mine_maze.mazes import level, single, vector, write_suite


def source(**options: Any) -> LevelSource:
    return level_source(MineMazeConfig.parse(options, where="test"), 1)


def drawn(levels: LevelSource, count: int, seed: int = 0) -> list[Any]:
    return [levels.level(levels.draw(seed, episode)) for episode in range(count)]


def test_train_and_test_levels_are_disjoint_and_any_is_both() -> None:
    train, test, either = (
        drawn(source(categories={"very_simple": 1}, split=split), 300) for split in ("train", "test", "any")
    )
    assert {made.split for made in train} == {"train"}
    assert {made.split for made in test} == {"test"}
    assert {made.sha256 for made in train}.isdisjoint(made.sha256 for made in test)
    assert 0.1 < np.mean([made.split == "test" for made in either]) < 0.3


def test_categories_come_by_weight() -> None:
    counts = Counter(
        made.category for made in drawn(source(categories={"very_simple": 3, "exploration": 1}), 800)
    )
    assert counts["very_simple"] == pytest.approx(600, abs=50)


def test_a_pool_has_so_many_levels_the_same_for_every_seed() -> None:
    levels = source(categories={"simple": 1}, levels=5)
    first, other = ({made.sha256 for made in drawn(levels, 100, seed)} for seed in (0, 1))
    assert len(first) == 5
    assert first == other
    assert first < {made.sha256 for made in drawn(source(categories={"simple": 1}, levels=6), 200)}


def test_seed_and_episode_decide_the_level() -> None:
    one, other = (source(categories={"simple": 1, "medium": 2}) for _ in range(2))
    assert [one.draw(3, e) for e in range(20)] == [other.draw(3, e) for e in range(20)]
    assert [one.draw(3, e) for e in range(20)] != [one.draw(4, e) for e in range(20)]


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = [level("S" + "." * n + "E", "." * (n + 2)) for n in range(5)]
    return str(write_suite(tmp_path / "levels.json", *made))


def test_a_split_takes_levels_of_a_file(tmp_path: Path) -> None:
    made = [level("S" + "." * n + "E", "." * (n + 2)) for n in (4, 5, 6, 7)]
    assert [each.split for each in made] == ["train", "train", "test", "train"]
    file = str(write_suite(tmp_path / "levels.json", *made))

    def steps(count: int, **options: Any) -> list[int]:
        return [each.optimal_steps for each in drawn(source(level_file=file, **options), count)]

    assert steps(5) == steps(5, split="any") == [5, 6, 7, 8, 5]
    assert steps(4, split="train") == [5, 6, 8, 5]
    assert steps(2, split="test") == [7, 7]
    only = str(write_suite(tmp_path / "tests.json", made[2]))
    with pytest.raises(ConfigError) as error:
        source(level_file=only, split="train")
    assert f"split = train: {only} has no such levels" in str(error.value)
    assert "all of them are for tests; set split to test, or to any" in str(error.value)


def columns(observations: Any) -> list[int]:
    return np.rint(np.atleast_2d(observations["game_state"])[:, 11] * 13).astype(int).tolist()


def test_a_file_is_played_in_its_order(file: str) -> None:
    env = single(level_file=file, observations=["game_state"])
    assert columns(env.reset(seed=3)[0]) == [5]
    assert [columns(env.reset()[0]) for _ in range(3)] == [[6], [2], [3]]
    assert columns(env.reset(seed=12)[0]) == [4]
    assert columns(single(level_file=file, observations=["game_state"]).reset()[0]) == [2]


def test_environments_side_by_side_share_a_file(file: str) -> None:
    envs = vector(2, level_file=file, observations=["game_state"])
    assert columns(envs.reset(seed=0)[0]) == [2, 3]
    assert columns(envs.reset()[0]) == [4, 5]
    assert columns(envs.reset()[0]) == [6, 2]


def test_only_the_categories_that_are_asked_for_are_played(tmp_path: Path) -> None:
    both = write_suite(
        tmp_path / "levels.json", level("SE", ".."), level("S.E", "...", category="very_simple")
    )
    env = single(level_file=str(both), categories={"very_simple": 1}, observations=["game_state"])
    assert env.episodes.room.side == 7
    assert [made.optimal_steps for made in drawn(env.episodes.source, 3)] == [2, 2, 2]
    everything = single(level_file=str(both))
    assert everything.episodes.room.side == 13
    assert [made.optimal_steps for made in drawn(everything.episodes.source, 3)] == [1, 2, 1]
