"""Environments by id, class path, class and callable, and what is said where that fails."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from rayrl.errors import ConfigError, EnvError, SpaceError
from rayrl.rollout.behavior import RandomBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.origin import Origin
from rayrl.rollout.vector_env import autoreset_mode, make_vector_env
from tests.rollout.counting_env import CountingEnv, CountingVectorEnv, RightActions, check_batch, sync_env

HERE = "tests.rollout.test_vector_env"


class Broken(gym.Env[Any, Any]):
    def __init__(self, depth: int = 1) -> None:
        raise KeyError(f"no mine of depth {depth}")


class Silent(CountingVectorEnv):
    """Does not say how it resets."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs, AutoresetMode.NEXT_STEP)
        self.metadata = {}


class NextStep(CountingVectorEnv):
    def __init__(self, num_envs: int, kind: str = "vector") -> None:
        super().__init__(num_envs, AutoresetMode.NEXT_STEP, kind)


def make_counting(kind: str = "vector") -> CountingEnv:
    return CountingEnv(kind)


@pytest.mark.parametrize(
    ("env", "config", "mode", "kind", "autoreset"),
    [
        ("CartPole-v1", {}, "auto", CartPoleVectorEnv, AutoresetMode.NEXT_STEP),
        ("CartPole-v1", {"max_episode_steps": 9}, "auto", CartPoleVectorEnv, AutoresetMode.NEXT_STEP),
        ("CartPole-v1", {}, "sync", SyncVectorEnv, AutoresetMode.DISABLED),
        ("CartPole-v1", {}, "vector_entry_point", CartPoleVectorEnv, AutoresetMode.NEXT_STEP),
        ("gymnasium.envs:CartPole-v1", {}, "auto", CartPoleVectorEnv, AutoresetMode.NEXT_STEP),
        ("Acrobot-v1", {}, "auto", SyncVectorEnv, AutoresetMode.DISABLED),
        ("gymnasium.envs.classic_control:CartPoleEnv", {}, "auto", SyncVectorEnv, AutoresetMode.DISABLED),
        (CartPoleEnv, {"sutton_barto_reward": True}, "auto", SyncVectorEnv, AutoresetMode.DISABLED),
        (f"{HERE}:CountingEnv", {"kind": "dict"}, "auto", SyncVectorEnv, AutoresetMode.DISABLED),
        (f"{HERE}:NextStep", {"kind": "text"}, "auto", NextStep, AutoresetMode.NEXT_STEP),
        (NextStep, {"kind": "text"}, "sync", NextStep, AutoresetMode.NEXT_STEP),
        (make_counting, {"kind": "image"}, "auto", SyncVectorEnv, AutoresetMode.DISABLED),
        (f"{HERE}:make_counting", {"kind": "image"}, "auto", SyncVectorEnv, AutoresetMode.DISABLED),
    ],
)
def test_every_way_to_name_one(
    env: Any, config: dict[str, Any], mode: str, kind: type, autoreset: AutoresetMode
) -> None:
    vector = make_vector_env(env, config, 3, mode=mode)
    assert isinstance(vector, kind)
    assert vector.num_envs == 3
    assert autoreset_mode(vector) is autoreset
    if "max_episode_steps" in config:
        assert vector.max_episode_steps == 9
    collecting = Collector(lambda: vector, Origin("test", 0))
    behavior = RandomBehavior(vector.single_action_space)
    if "Counting" in str(env) or "counting" in str(env) or "NextStep" in str(env):
        check_batch(collecting.collect(RightActions(), num_steps=20).batch)
    else:
        assert collecting.collect(behavior, num_steps=20).batch.num_steps == 20
    collecting.close()


def test_rayrls_own_environments_are_known() -> None:
    with pytest.raises(ConfigError):
        make_vector_env("rayrl/Router-v0", {"replicas": -1}, 2)
    assert autoreset_mode(make_vector_env("rayrl/Router-v0", {}, 2)) is AutoresetMode.NEXT_STEP


def test_sub_environments_of_one_class_do_not_share_their_mode() -> None:
    first = sync_env(1, AutoresetMode.NEXT_STEP)
    sync_env(1, AutoresetMode.SAME_STEP)
    assert autoreset_mode(first) is AutoresetMode.NEXT_STEP


def test_in_processes_of_their_own() -> None:
    vector = make_vector_env(f"{HERE}:CountingEnv", {"reuses": True}, 2, mode="async")
    assert isinstance(vector, AsyncVectorEnv)
    collecting = Collector(lambda: vector, Origin("test", 0))
    check_batch(collecting.collect(RightActions(), num_steps=30).batch)
    collecting.close()


class Fragile(gym.Env[Any, Any]):
    observation_space = gym.spaces.Discrete(1000)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 16))
        return self.left, {}

    def step(self, action: int) -> Any:
        if self.left == 13:
            raise RuntimeError("thirteen")
        self.left -= 1
        return self.left, 1.0, self.left <= 0, False, {}


@pytest.mark.filterwarnings("ignore::UserWarning")  # Gymnasium's, of the error in its process
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_one_that_raises_is_replaced(mode: str) -> None:
    collecting = Collector(lambda: make_vector_env(Fragile, {}, 2, mode=mode), Origin("test", 0))
    rollout = collecting.collect(RandomBehavior(gym.spaces.Discrete(2)), num_steps=40)
    collecting.close()
    assert rollout.env_failures > 0
    assert rollout.batch.num_steps == 40
    rows: Any = rollout.batch.columns["obs"]
    ended: Any = rollout.batch.trajectory_columns["terminated"]
    begun = rows[rollout.batch.offsets[:-1]]
    assert (begun[ended] < 13).all()


@pytest.mark.parametrize(
    ("env", "config", "mode", "message", "remedy"),
    [
        ("CartPol-v1", {}, "auto", "not a registered environment", "did you mean 'CartPole-v1'"),
        ("rayrl/Rooter-v0", {}, "auto", "not a registered environment", "did you mean 'rayrl/Router-v0'"),
        ("no_such_module:Env", {}, "auto", "module 'no_such_module' cannot be imported", "module:Class"),
        (f"{HERE}:Nextstep", {}, "auto", f"module '{HERE}' has no 'Nextstep'", "did you mean 'NextStep'"),
        (f"{HERE}:Missing", {}, "auto", f"module '{HERE}' has no 'Missing'", "known: Broken, CartPoleEnv"),
        ("json:Missing", {}, "auto", "module 'json' has no 'Missing'", "it has no class of environments"),
        (f"{HERE}:CartPol-v1", {}, "auto", "not a registered environment", "did you mean 'CartPole-v1'"),
        (f"{HERE}:Broken", {"depth": 3}, "auto", r"\{'depth': 3\}: KeyError: 'no mine of depth 3'", ""),
        ("CartPole-v1", {"gravity": 1}, "sync", "unexpected keyword argument 'gravity'", ""),
        ("Acrobot-v1", {}, "vector_entry_point", "doesn't have a vector entry point", ""),
        (make_counting, {}, "vector_entry_point", "no class of vector environments", ""),
        (make_counting, {}, "thread", "mode 'thread', not one of auto, sync", ""),
        (lambda: NextStep(2), {}, "auto", "is no gymnasium.Env", ""),
        (Silent, {}, "auto", "does not say how it resets", "metadata"),
    ],
)
def test_what_is_wrong_is_said(
    env: Any, config: dict[str, Any], mode: str, message: str, remedy: str
) -> None:
    with pytest.raises(EnvError, match=message) as raised:
        make_vector_env(env, config, 2, mode=mode)
    assert remedy in (raised.value.remedy or "")
    name = env if isinstance(env, str) else env.__name__
    assert raised.value.where == f"env {name}"


class Tuples(gym.Env[Any, Any]):
    observation_space = gym.spaces.Tuple([gym.spaces.Discrete(2)] * 2)
    action_space = gym.spaces.Discrete(2)


def test_spaces_that_have_no_columns_are_named() -> None:
    with pytest.raises(SpaceError, match="Tuple"):
        Collector(lambda: make_vector_env(Tuples, {}, 2), Origin("test", 0))


class Mutating(gym.Env[Any, Any]):
    """Shows its own state, in which it goes on writing."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self) -> None:
        self.state = np.zeros(1, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.state[:] = 0
        return self.state, {}

    def step(self, action: int) -> Any:
        self.state += 1
        return self.state, 0.0, False, bool(self.state[0] == 3), {}


def test_the_last_observation_of_one_that_shows_its_own_state_is_real() -> None:
    collecting = Collector(lambda: make_vector_env(Mutating, {}, 2), Origin("test", 0))
    batch = collecting.collect(RandomBehavior(gym.spaces.Discrete(2)), num_steps=12).batch
    assert batch.trajectory_columns["final_obs"].tolist() == [[3.0]] * 4  # type: ignore[union-attr]
    assert batch.columns["obs"].ravel().tolist() == [0, 1, 2] * 4  # type: ignore[union-attr]
