from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import VectorEnv

import rayrl.envs  # noqa: F401  (registers the router's)
from rayrl.envs.demonstrators import (
    Random,
    demonstrators_for,
    make_demonstrator,
    register_demonstrator,
)
from rayrl.errors import ConfigError, EnvError, SpaceError


class Spaces(VectorEnv[Any, Any, Any]):
    """An environment of which only the action space matters."""

    def __init__(self, space: spaces.Space[Any], num_envs: int) -> None:
        self.single_action_space = space
        self.num_envs = num_envs


def test_every_environment_has_random_and_its_own() -> None:
    assert set(demonstrators_for("rayrl/Router-v0")) == {
        "round_robin",
        "least_outstanding",
        "join_shortest_work",
        "random",
    }
    assert set(demonstrators_for("CartPole-v1")) == {"random"}


def test_the_module_of_a_class_path_registers_its_own(tmp_path, monkeypatch) -> None:
    (tmp_path / "walk_env.py").write_text(
        "from rayrl.envs.demonstrators import register_demonstrator\n"
        "register_demonstrator('walk_env:Walk', 'ahead', 'walk_env:Ahead')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert set(demonstrators_for("walk_env:Walk")) == {"ahead", "random"}
    with pytest.raises(EnvError, match="module 'no_walk_env' cannot be imported"):
        demonstrators_for("no_walk_env:Walk")


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"no demonstrator 'round_robbin' of rayrl/Router-v0\n  did you mean"
    ):
        make_demonstrator("rayrl/Router-v0", "round_robbin", seed=0)


def test_environments_register_their_own() -> None:
    register_demonstrator("Registered-v0", "uniform", "rayrl.envs.demonstrators:Random")
    assert isinstance(make_demonstrator("Registered-v0", "uniform", seed=3), Random)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=2),
        spaces.MultiDiscrete([2, 5, 3]),
        spaces.MultiBinary((2, 2)),
        spaces.Box(-1.0, 3.0, (2,), np.float32),
        spaces.Box(0, 255, (2, 2), np.uint8),
        spaces.Box(-np.inf, np.inf, (3,), np.float32),
        spaces.Box(0.0, np.inf, (3,), np.float64),
    ],
    ids=str,
)
def test_random_covers_the_space(space: spaces.Space[Any]) -> None:
    actions = Random(seed=0).act(Spaces(space, num_envs=500), None)
    assert actions.shape == (500, *(space.shape or ()))
    assert all(space.contains(action) for action in actions)
    if isinstance(space, spaces.Discrete):
        assert np.unique(actions).tolist() == [2, 3, 4]
    elif isinstance(space, spaces.MultiDiscrete):
        assert actions.max(axis=0).tolist() == [1, 4, 2]
    else:
        assert (actions.std(axis=0) > 0).all()


def test_random_refuses_other_spaces() -> None:
    with pytest.raises(SpaceError, match="Text"):
        Random(seed=0).act(Spaces(spaces.Text(4), num_envs=2), None)


def test_random_goes_on_from_its_state() -> None:
    env = Spaces(spaces.Discrete(1000), num_envs=8)
    original = Random(seed=5)
    original.act(env, None)
    resumed = Random(seed=0)
    resumed.set_state(original.get_state())
    first, second = original.act(env, None), original.act(env, None)
    np.testing.assert_array_equal(resumed.act(env, None), first)
    np.testing.assert_array_equal(resumed.act(env, None), second)
    assert not np.array_equal(first, second)
    assert not np.array_equal(Random(seed=6).act(env, None), Random(seed=5).act(env, None))


def test_random_acts_on_real_environments() -> None:
    env = gymnasium.make_vec("CartPole-v1", num_envs=3)
    env.reset(seed=0)
    env.step(Random(seed=0).act(env.unwrapped, None))
