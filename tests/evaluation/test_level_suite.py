"""Suites of levels in a file: each level is played once, and named."""

import json
from pathlib import Path

import pytest

from rayrl.envs.mine_maze.suite import generate_suite
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, DataError
from rayrl.evaluation.environment import evaluation_spec
from rayrl.evaluation.evaluator import evaluate
from rayrl.evaluation.options import EvaluateOptions
from rayrl.evaluation.suites import AS_TRAINED, categories_of
from rayrl.rollout.vector_env import make_vector_env

MAZE = EnvSpec.parse(
    {
        "id": "rayrl/MineMaze-v0",
        "config": {"observations": ["game_state", "action_mask"], "categories": {"simple": 1}, "levels": 4},
    },
    where="a test",
)


@pytest.fixture
def file(tmp_path) -> Path:
    suite = generate_suite("small", {"very_simple": 3, "simple": 2})
    (tmp_path / "small.json").write_text(json.dumps(suite.to_json()))
    return tmp_path / "small.json"


def test_each_category_of_the_file_is_one_of_the_evaluation(file):
    found = categories_of(MAZE, file, {"own": {"max_steps": 9}})
    assert list(found) == [AS_TRAINED, "very_simple", "simple", "own"]
    assert found["very_simple"].levels == ("very_simple_0000", "very_simple_0001", "very_simple_0002")
    assert found[AS_TRAINED].levels == found["own"].levels == ()
    assert [len(each.levels) for each in categories_of(MAZE, file, {}, levels=2).values()] == [0, 2, 2]


def test_episode_i_is_level_i_in_the_spaces_of_training(file):
    suite = generate_suite("small", {"very_simple": 3, "simple": 2})
    trained = make_vector_env(MAZE.id, MAZE.config, 1)
    for name, category in list(categories_of(MAZE, file, {}).items())[1:]:
        spec = evaluation_spec(MAZE, category.changes)
        env = make_vector_env(spec.id, spec.config, len(category.levels))
        assert env.single_observation_space == trained.single_observation_space
        env.reset(seed=list(range(len(category.levels))))
        result = evaluate("planner", MAZE, episodes=1, env_config=category.changes)
        assert result.env.config["level_file"] == str(file)
        wanted = [float(entry.level.optimal_steps) for entry in suite.categories[name]]
        infos = env.unwrapped.episodes.simulation.levels["optimal_steps"]
        assert infos.tolist() == wanted


def test_mazes_are_evaluated_on_levels_that_training_never_sees():
    assert evaluation_spec(MAZE).config["split"] == "test"


def test_evaluation_takes_the_test_levels_of_a_file_from_which_training_takes_the_others(tmp_path):
    suite = generate_suite("mixed", {"simple": 20}, split="any")
    mixed = tmp_path / "mixed.json"
    mixed.write_text(json.dumps(suite.to_json()))
    only = tmp_path / "train.json"
    only.write_text(json.dumps(generate_suite("train", {"simple": 2}, split="train").to_json()))

    def split(path, trained):
        spec = EnvSpec(id=MAZE.id, config={"level_file": str(path), "split": trained})
        (once, twice) = evaluation_spec(spec), evaluation_spec(evaluation_spec(spec))
        assert once == twice
        return once.config["split"]

    assert [split(mixed, trained) for trained in ("train", "any", None)] == ["test", "any", None]
    assert [split(only, trained) for trained in ("train", "any", None)] == ["train", "any", None]
    played = evaluate("random", EnvSpec(id=MAZE.id, config={"level_file": str(mixed), "split": "train"}))
    tests = {level.level.optimal_steps for level in suite.levels if level.level.split == "test"}
    assert set(played.metrics["optimal_steps"]) == tests


def test_levels_for_training_are_evaluated_on_where_a_suite_has_them(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(generate_suite("train", {"simple": 2}, split="train").to_json()))
    (_, category) = categories_of(MAZE, path, {}).values()
    assert evaluate("planner", MAZE, episodes=2, env_config=category.changes).values("episode_success").all()


def test_a_suite_that_training_has_no_room_for_says_what_would_make_it(tmp_path):
    path = tmp_path / "large.json"
    path.write_text(json.dumps(generate_suite("large", {"simple": 1, "complex": 1, "medium": 1}).to_json()))
    with pytest.raises(ConfigError) as raised:
        categories_of(MAZE, path, {})
    assert raised.value.where == "evaluate.suite"
    assert "large.json has levels of complex, medium, with up to 13 rows and 3 doors" in raised.value.message
    assert raised.value.remedy == "set env.config.sized_for: [simple, medium, complex], and train with it"
    sized = EnvSpec(id=MAZE.id, config={**MAZE.config, "sized_for": ["simple", "medium", "complex"]})
    assert list(categories_of(sized, path, {})) == [AS_TRAINED, "simple", "complex", "medium"]


def test_a_suite_is_named_or_is_a_file_that_is_there(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert EvaluateOptions.parse({"suite": "small.json"}, where="").suite == file
    other = file.rename(file.with_suffix(".levels"))
    for name in ("small.levels", "./small.levels", str(other)):
        assert EvaluateOptions.parse({"suite": name}, where="").suite == other
    with pytest.raises(ConfigError, match=r"suite = '\./tall': there is no such file or folder"):
        EvaluateOptions.parse({"suite": "./tall"}, where="")
    assert EvaluateOptions.parse({"suite": "router_standard"}, where="").suite == "router_standard"
    with pytest.raises(ConfigError, match=r"suite = 'tall\.json': there is no such file or folder"):
        EvaluateOptions.parse({"suite": "tall.json"}, where="")


def test_what_is_wrong_with_a_file_is_named(file):
    with pytest.raises(ConfigError, match="has levels of rayrl/MineMaze-v0, not of CartPole-v1"):
        categories_of(EnvSpec(id="CartPole-v1"), file, {})
    values = json.loads(file.read_text())
    values["categories"]["simple"][0]["sha256"] = "0" * 64
    file.write_text(json.dumps(values))
    with pytest.raises(DataError, match="level 'simple_0000': sha256 is 000000000000"):
        categories_of(MAZE, file, {})
