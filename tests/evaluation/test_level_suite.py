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


def test_a_suite_is_named_or_is_a_file_that_is_there(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert EvaluateOptions.parse({"suite": "small.json"}, where="").suite == file
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
