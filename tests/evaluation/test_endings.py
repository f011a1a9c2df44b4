"""Episodes that do not come to an end of their own, and what is said of them."""

import itertools

import numpy as np
import pytest

from rayrl.envs.spec import EnvSpec
from rayrl.errors import EnvError
from rayrl.evaluation.actors import actor_of
from rayrl.evaluation.endings import tells_success, with_endings
from rayrl.evaluation.environment import evaluation_spec
from rayrl.evaluation.episodes import Ending, Played
from rayrl.evaluation.evaluator import evaluate, play_episodes, result_of, unplayed
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
    return result_of(wanted, played, tells=tells_success(played))


@pytest.mark.parametrize("num_envs", [1, 3, 16])
@pytest.mark.parametrize("tells_each_step", [False, True])
def test_each_way_to_end_is_told_from_the_others(num_envs, tells_each_step):
    env = EnvSpec(id=HAZARD.id, config={"tells_each_step": tells_each_step})
    result = play_seeds([0, 1, 2, 3, 4, 5], env=env, num_envs=num_envs, max_steps=12)
    assert result.metrics["episode_success"] == (1, 0, 0, 0, 0, 1)
    assert result.metrics["timeout"] == (0, 0, 1, 1, 0, 0)
    assert result.metrics["error"] == (0, 0, 0, 0, 1, 0)
    assert result.metrics["death"] == (0, 1, 0, 0 if tells_each_step else None, None, 0)
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
    found = with_endings(Played(metrics, endings, (None,) * 3), tells=True)
    assert found["timeout"].tolist() == [0.0, 0.0, 1.0]


def test_where_all_are_cut_another_category_tells_that_there_is_success():
    played = Played({"episode_length": np.array([9.0])}, np.array([Ending.cut], np.int8), (None,))
    assert set(with_endings(played, tells=False)) == {"episode_length"}
    found = with_endings(played, tells=True)
    assert (found["episode_success"], found["timeout"]) == ([0.0], [1.0])


@pytest.mark.parametrize("actor", [Ones, "random"])
def test_parts_hold_what_the_whole_does(actor):
    who, spec, wanted = asked(range(37), actor=actor, num_envs=4, max_steps=12)
    whole = play_episodes(who, spec, wanted)
    cuts = [0, 8, 12, 36, 37]
    parts = [play_episodes(who, spec, wanted, start=a, stop=b) for a, b in itertools.pairwise(cuts)]
    joined = Played.join(parts)
    assert result_of(wanted, joined, tells=True) == result_of(wanted, whole, tells=True)


def test_errors_and_levels_are_kept_on_disk(tmp_path):
    result = play_seeds([0, 4, 5, 0], max_steps=9)
    result = result.model_copy(update={"levels": ("a", "b", "c", "d")})
    result.save(tmp_path / "eval_results.json")
    assert load_result(tmp_path / "eval_results.json") == result
