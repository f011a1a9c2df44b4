"""Which levels of an evaluation training may play as well."""

import json

import pytest

from rayrl.envs.mine_maze.suite import generate_suite
from rayrl.envs.spec import EnvSpec
from rayrl.evaluation.category import Category
from rayrl.evaluation.seen_levels import seen_in_training
from rayrl.evaluation.suites import categories_of


def maze(**config):
    return EnvSpec(id="rayrl/MineMaze-v0", config={"categories": {"simple": 1.0}} | config)


@pytest.fixture
def suite(tmp_path):
    """The path of a suite of levels of a split."""

    def write(split, **counts):
        path = tmp_path / f"{split}.json"
        path.write_text(json.dumps(generate_suite(split, counts or {"simple": 3}, split=split).to_json()))
        return path

    return write


def told(env, path=None, **changes):
    """The categories that are warned of, with how much of them."""
    warning = seen_in_training(env, categories_of(env, path, {}), changes)
    return None if warning is None else warning.split("as well, in ")[1].split(": there it does")[0]


def test_levels_for_tests_are_new_to_training_on_the_others(suite):
    assert told(maze()) is None
    assert told(maze(), suite("test")) is None
    assert told(maze(levels=4), suite("test")) is None


def test_levels_of_the_split_that_training_generates_are_named(suite):
    assert told(maze(), suite("train")) == "simple (3 of 3 levels)"
    assert told(maze(split="any"), suite("test")) == "as_trained, simple (3 of 3 levels)"
    mixed = suite("any", simple=20)
    tests = sum(
        level.level.split == "test" for level in generate_suite("", {"simple": 20}, split="any").levels
    )
    assert told(maze(), mixed) == f"simple ({20 - tests} of 20 levels)"


def test_other_categories_than_those_of_training_are_new(suite):
    both = suite("train", very_simple=2, simple=2)
    assert told(maze(), both) == "simple (2 of 2 levels)"


def test_a_file_is_compared_level_by_level(suite):
    trained, tests = suite("train"), suite("test")
    assert told(maze(level_file=str(trained)), tests) == "as_trained (3 of 3 levels)"
    assert told(maze(level_file=str(trained), split="train"), trained).startswith(
        "as_trained (3 of 3 levels), "
    )
    mixed = maze(level_file=str(suite("any", simple=20)), split="train")
    assert told(mixed) is None
    assert told(mixed, level_file=str(tests)) is None


def test_what_an_evaluation_changes_counts():
    assert told(maze(), split="train") == "as_trained"
    assert told(maze(), split="train", categories={"medium": 1.0}) is None


def test_only_levels_that_are_played_count(suite):
    categories = categories_of(maze(), suite("any", simple=20), {}, levels=1)
    first = generate_suite("", {"simple": 1}, split="any").categories["simple"][0].level.split
    assert (seen_in_training(maze(), categories, {}) is None) == (first == "test")


def test_other_environments_have_no_levels():
    assert seen_in_training(EnvSpec(id="CartPole-v1"), {"as_trained": Category({})}, {}) is None
