import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rayrl.envs  # noqa: F401  (registers the id)
from rayrl.envs.demonstrators import make_demonstrator
from rayrl.errors import DataError, EnvError

ID = "rayrl/Router-v0"
SMALL = {"requests": 40, "target_load": 1.0}


def single(**options: Any) -> Any:
    return gymnasium.make(ID, **(SMALL | options)).unwrapped


def vector(num_envs: int, **options: Any) -> Any:
    return gymnasium.make_vec(ID, num_envs=num_envs, **(SMALL | options)).unwrapped


def test_gymnasium_finds_nothing_to_complain_about() -> None:
    check_env(single())


def test_registering_imports_neither_numba_nor_the_environments() -> None:
    code = "import sys, rayrl.envs; assert not {'numba', 'rayrl.envs.router.env'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("mode", ["hybrid", "instant", "delta"])
def test_vectorized_and_single_do_exactly_the_same(mode: str) -> None:
    envs = vector(3, reward={"mode": mode})
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    alone = SyncVectorEnv([lambda: single(reward={"mode": mode})] * 3)
    actions = np.random.default_rng(0).integers(0, 4, (100, 3))
    for seed in (7, None):  # None goes on with the next episodes of the same seeds
        np.testing.assert_array_equal(envs.reset(seed=seed)[0], alone.reset(seed=seed)[0])
        for step in range(100):
            ours, theirs = envs.step(actions[step]), alone.step(actions[step])
            for mine, other in zip(ours[:4], theirs[:4], strict=True):
                np.testing.assert_array_equal(mine, other)
            assert ours[4].keys() == theirs[4].keys()
            for name in ours[4]:
                np.testing.assert_array_equal(ours[4][name], theirs[4][name])


def test_an_episode_is_so_many_decisions_and_then_truncated() -> None:
    env = single()
    env.reset(seed=0)
    for step in range(40):
        _, reward, terminated, truncated, info = env.step(step % 4)
        assert isinstance(reward, float)
        assert not terminated
        assert truncated == (step == 39)
        assert bool(info) == (step == 39)
    assert "is_success" not in info
    with pytest.raises(EnvError, match="after the end of the episode"):
        env.step(0)


def test_the_vectorized_environment_begins_anew_in_the_step_after_the_last() -> None:
    envs = vector(2)
    first, _ = envs.reset(seed=[3, 9])
    for _ in range(40):
        *_, truncated, info = envs.step(np.zeros(2, np.int64))
    assert truncated.all()
    assert info["_latency_p99"].all()
    assert (info["latency_p99"] > 0).all()
    begun, rewards, _, truncated, info = envs.step(np.array([-1, 99]))
    assert rewards.tolist() == [0.0, 0.0]
    assert not truncated.any()
    assert not info
    assert not np.array_equal(begun, first)


def test_without_a_seed_episodes_differ_between_sub_environments_and_runs() -> None:
    arrivals = []
    for envs in (vector(2), vector(2)):
        envs.reset()
        arrivals += list(envs.get_state()["simulation/requests/arrived"][:, 1])
    assert len(set(arrivals)) == 4


@pytest.mark.parametrize("stop", [0, 17, 40, 41, 63])
@pytest.mark.parametrize("num_envs", [None, 3])
def test_a_restored_environment_goes_on_bitwise(num_envs: int | None, stop: int) -> None:
    def make() -> Any:
        return single() if num_envs is None else vector(num_envs)

    def advance(env: Any, steps: range) -> list[Any]:
        outcomes: list[Any] = []
        for step in steps:
            if num_envs is None and env.episodes.over[0]:
                outcomes.append(env.reset())
            else:
                outcomes.append(env.step(actions[step] if num_envs else actions[step][0]))
        return outcomes

    actions = np.random.default_rng(0).integers(0, 4, (100, num_envs or 1))
    env = make()
    env.reset(seed=5)
    advance(env, range(stop))
    state = env.get_state()
    expected = advance(env, range(stop, 100))
    restored = make()
    restored.set_state(state)
    actual = advance(restored, range(stop, 100))
    np.testing.assert_equal(actual, expected)
    np.testing.assert_equal(restored.get_state(), env.get_state())


def test_a_state_is_arrays_that_later_steps_do_not_change() -> None:
    envs = vector(2)
    envs.reset(seed=0)
    state = envs.get_state()
    before = {name: array.copy() for name, array in state.items()}
    envs.step(np.zeros(2, np.int64))
    for name, array in state.items():
        assert array.dtype.names is None
        assert array.shape[0] == 2
        np.testing.assert_array_equal(array, before[name])


def test_a_state_of_another_shape_is_refused() -> None:
    envs = vector(2)
    envs.reset(seed=0)
    state = envs.get_state()
    with pytest.raises(DataError, match=r"shape \(2, 41\), expected \(2, 51\)"):
        vector(2, requests=50).set_state(state)
    del state["seeds"]
    with pytest.raises(DataError, match="seeds"):
        vector(2).set_state(state)


@pytest.mark.parametrize(
    ("name", "wrong", "bounds"),
    [
        ("simulation/running", 41, "0 to 40"),
        ("simulation/replicas/head", -2, "-1 to 40"),
        ("simulation/replicas/running", 65, "0 to 64"),
        ("simulation/requests/behind", 10**9, "-1 to 40"),
        ("simulation/requests/arrived", np.nan, "0 to 4503599627370496.0"),
        ("simulation/episodes/decision", 41, "0 to 40"),
        ("telemetry/fleet/recent", 4, "0 to 3"),
    ],
)
def test_a_state_that_names_no_request_is_refused(name: str, wrong: float, bounds: str) -> None:
    envs = vector(2)
    envs.reset(seed=0)
    for _ in range(3):
        envs.step(np.zeros(2, np.int64))
    state = envs.get_state()
    envs.set_state(state)
    state[name][1] = wrong
    with pytest.raises(DataError) as error:
        envs.set_state(state)
    assert f"the state has {name} = {wrong} in environment 1\n  it must be in {bounds};" in str(error.value)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5])
def test_a_seed_that_is_none_is_refused(seed: float) -> None:
    for env, given in ((single(), seed), (vector(2), seed), (vector(2), [1, seed])):
        with pytest.raises(EnvError) as error:
            env.reset(seed=given)
        assert f"seed = {seed}\n  give a whole number from 0 to 2**64 - 1" in str(error.value)


def test_misuse_is_an_error() -> None:
    envs = vector(2)
    with pytest.raises(EnvError, match="before the first reset"):
        envs.step(np.zeros(2, np.int64))
    unbegun = vector(2)
    unbegun.set_state(envs.get_state())
    with pytest.raises(EnvError, match="before the first reset"):
        unbegun.step(np.zeros(2, np.int64))
    envs.reset(seed=0)
    with pytest.raises(EnvError, match=r"actions of shape \(3,\) for 2 environments"):
        envs.step(np.zeros(3, np.int64))
    with pytest.raises(EnvError, match=r"seeds of shape \(1,\) for 2 environments"):
        envs.reset(seed=[3])
    for action in (-1, 4):
        with pytest.raises(EnvError, match=f"action {action} names no replica"):
            envs.step(np.array([0, action]))


def test_the_order_of_the_classic_rules_in_tail_latency() -> None:
    tails = {}
    for name in ("least_outstanding", "round_robin", "random"):
        envs = vector(2, requests=20_000, target_load=0.85)
        demonstrator = make_demonstrator(ID, name, seed=0)
        observations, _ = envs.reset(seed=0)
        truncated = np.zeros(2, bool)
        while not truncated.any():
            observations, _, _, truncated, info = envs.step(demonstrator.act(envs, observations))
        tails[name] = info["latency_p99"]
    assert (tails["least_outstanding"] < tails["round_robin"]).all()
    assert (tails["round_robin"] < tails["random"]).all()
