"""Episodes that do not come to an end of their own, and what is said of them."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

from rayrl.envs.spec import EnvSpec
from rayrl.errors import EnvError
from rayrl.evaluation.actors import actor_of
from rayrl.evaluation.endings import told_in, with_endings
from rayrl.evaluation.environment import evaluation_spec
from rayrl.evaluation.episodes import Ending, Fault, Played, tells
from rayrl.evaluation.evaluator import evaluate, play_episodes, result_of, unplayed
from rayrl.evaluation.level_metrics import level_metrics
from rayrl.evaluation.result import load_result
from tests.evaluation.walk import Ones

HAZARD = EnvSpec(id="tests.evaluation.hazard:Hazard")


def asked(seeds, *, env=HAZARD, actor=Ones, num_envs=None, **limits):
    who = actor_of(actor, env.id, deterministic=True)
    spec = evaluation_spec(env)
    wanted = unplayed(who.info, spec, episodes=len(seeds), seeds=seeds, num_envs=num_envs, **limits)
    return who, spec, wanted


def play_seeds(seeds, **options):
    who, spec, wanted = asked(seeds, **options)
    played = play_episodes(who, spec, wanted)
    return result_of(wanted, played, told=told_in(played))


@pytest.mark.parametrize("num_envs", [1, 3, 16])
@pytest.mark.parametrize("tells_each_step", [False, True])
def test_each_way_to_end_is_told_from_the_others(num_envs, tells_each_step):
    env = EnvSpec(id=HAZARD.id, config={"tells_each_step": tells_each_step})
    result = play_seeds([0, 1, 2, 3, 4, 5], env=env, num_envs=num_envs, max_steps=12)
    assert result.metrics["episode_success"] == (1, 0, 0, 0, 0, 1)
    assert result.metrics["timeout"] == (0, 0, 1, 1, 0, 0)
    assert result.metrics["error"] == (0, 0, 0, 0, 1, 0)
    assert result.metrics["death"] == (0, 1, 0, 0, 0, 0)
    assert result.metrics["episode_length"] == (4, 2, 8, 12, None, 4)
    assert result.errors == (None, None, None, None, "OSError: the floor gives way", None)


def test_a_slow_episode_is_cut_by_the_clock():
    env = EnvSpec(id=HAZARD.id, config={"sleep_s": 0.02})
    result = play_seeds([0, 3], env=env, num_envs=1, episode_timeout_s=0.3)
    assert result.metrics["episode_success"] == (1, 0)
    assert result.metrics["timeout"] == (0, 1)
    assert 5 <= result.metrics["episode_length"][1] <= 20
    assert result.episode_timeout_s == 0.3


def test_where_most_episodes_raise_the_evaluation_does():
    with pytest.raises(EnvError, match=r"3 of 5 episodes .* the first one OSError: the floor gives way"):
        play_seeds([4, 9, 0, 14, 5])
    assert play_seeds([4, 9, 0, 5]).metrics["error"] == (1, 1, 0, 0)


def test_an_environment_that_knows_no_success_has_no_timeouts():
    result = evaluate("random", "CartPole-v1", episodes=3, max_steps=5)
    assert set(result.metrics) == {"episode_return", "episode_length"}


def test_what_the_environment_calls_a_timeout_or_stuck_stands():
    metrics = {
        "episode_success": np.array([0.0, 0.0, 0.0]),
        "timeout": np.array([0.0, np.nan, np.nan]),
        "stuck": np.array([1.0, 1.0, 0.0]),
    }
    endings = np.full(3, Ending.truncated, np.int8)
    played = Played(metrics, endings, (None,) * 3)
    found = with_endings(played, told=told_in(played))
    assert found["timeout"].tolist() == [0.0, 0.0, 1.0]


def test_means_of_causes_are_shares_of_all_episodes():
    # Of five, the environment tells of the two that it ended itself: one died, one was stuck.
    played = Played(
        {
            "episode_return": np.zeros(5),
            "episode_length": np.array([3.0, 8.0, 6.0, 6.0, 6.0]),
            "episode_success": np.array([0.0, 0.0, np.nan, np.nan, np.nan]),
            "death": np.array([1.0, 0.0, np.nan, np.nan, np.nan]),
            "stuck": np.array([0.0, 1.0, np.nan, np.nan, np.nan]),
        },
        np.array([Ending.terminated, Ending.truncated, Ending.cut, Ending.cut, Ending.raised], np.int8),
        (None, None, None, None, Fault("OSError: the floor gives way", "")),
    )
    _, _, wanted = asked(range(5), max_steps=6)
    result = result_of(wanted, played, told=told_in(played))
    means = {name: summary.mean for name, summary in result.summary().items()}
    # 1 of 5 each; the two that were cut are 2 of 5
    assert (means["death"], means["stuck"], means["timeout"], means["error"]) == (0.2, 0.2, 0.4, 0.2)
    micro = level_metrics(result).micro
    assert micro["safety"].value == 1 - means["death"]
    assert micro["failed_by_death"].value == means["death"]


def test_what_an_environment_without_success_tells_is_left_as_it_is():
    played = Played(
        {"death": np.array([1.0, np.nan])}, np.array([Ending.terminated, Ending.cut], np.int8), ()
    )
    found = with_endings(played, told=told_in(played))
    assert found.keys() == {"death"}
    np.testing.assert_array_equal(found["death"], [1.0, np.nan])


def test_where_all_are_cut_another_category_tells_what_there_is():
    played = Played({"episode_length": np.array([9.0])}, np.array([Ending.cut], np.int8), (None,))
    assert set(with_endings(played, told=told_in(played))) == {"episode_length"}
    found = with_endings(played, told=frozenset({"episode_success", "death"}))
    assert (found["episode_success"], found["timeout"], found["death"]) == ([0.0], [1.0], [0.0])
    assert "stuck" not in found


@pytest.mark.parametrize("actor", [Ones, "random"])
def test_parts_hold_what_the_whole_does(actor):
    who, spec, wanted = asked(range(37), actor=actor, num_envs=4, max_steps=12)
    whole = play_episodes(who, spec, wanted)
    cuts = [0, 8, 12, 36, 37]
    parts = [play_episodes(who, spec, wanted, start=a, stop=b) for a, b in itertools.pairwise(cuts)]
    joined = Played.join(parts)
    assert result_of(wanted, joined, told=told_in(joined)) == result_of(wanted, whole, told=told_in(whole))


def test_errors_and_levels_are_kept_on_disk(tmp_path):
    result = play_seeds([0, 4, 5, 0], max_steps=9)
    result = result.model_copy(update={"levels": ("a", "b", "c", "d")})
    result.save(tmp_path / "eval_results.json")
    assert load_result(tmp_path / "eval_results.json") == result


def test_a_policy_all_of_whose_episodes_are_cut_does_not_succeed():
    maze = EnvSpec(id="rayrl/MineMaze-v0", config={"observations": ["game_state"]})
    result = play_seeds([0, 1], env=maze, actor="planner", max_steps=1)
    assert result.metrics["episode_success"] == result.metrics["stuck"] == result.metrics["death"] == (0, 0)
    assert result.metrics["timeout"] == (1, 1)
    assert result.metrics["optimal_steps"] == (None, None)
    found = level_metrics(result).macro
    assert [found[name].value for name in ("success_rate", "spl", "safety", "failed_by_timeout")] == [
        0,
        0,
        1,
        1,
    ]


@pytest.mark.parametrize("vectorized", [False, True])
def test_the_mine_maze_declares_what_its_episodes_end_with(vectorized):
    options = {"categories": {"very_simple": 1}, "max_steps": 1}
    env = gym.make_vec("rayrl/MineMaze-v0", 1, "vector_entry_point" if vectorized else "sync", **options)
    env.reset(seed=0)
    infos = env.step(np.array([0]))[4]
    assert {"is_success", "death", "stuck", "optimal_steps"} <= infos.keys()
    assert tells(env) == {"episode_success", "death", "stuck", "optimal_steps"}
