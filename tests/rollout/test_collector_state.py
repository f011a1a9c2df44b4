"""A collector that is restored goes on as the one that was not interrupted, bit for bit."""

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import (
    FrameStackObservation,
    NormalizeObservation,
    NormalizeReward,
    StickyAction,
    TimeLimit,
    TransformReward,
)

from rayrl.experience.columns import ACTION_DIST_INPUTS
from rayrl.models.actor_critic import ActorCritic, module_spec
from rayrl.models.model_config import ModelConfig
from rayrl.rollout.behavior import Behavior, PolicyBehavior, RandomBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.env_state import get_env_state, has_state, set_env_state
from rayrl.rollout.origin import Origin
from rayrl.rollout.vector_env import make_vector_env
from tests.rollout.counting_env import (
    KINDS,
    MODES,
    CountingEnv,
    RightActions,
    check_batch,
    steps_of,
    sync_env,
    uninterrupted,
)
from tests.rollout.stateful_env import RandomWalk, RandomWalks

ORIGIN = Origin("state", seed=1)
CALLS: list[dict[str, Any]] = [
    {"num_steps": 10},
    {"num_steps": 3},
    {"num_steps": 21},
    {"num_episodes": 4},
    {"num_steps": 8},
    {"num_steps": 40},
]
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def walks(mode: AutoresetMode) -> VectorEnv:
    return SyncVectorEnv([lambda: TimeLimit(TimeLimit(RandomWalk(), 5), 7)] * 3, autoreset_mode=mode)


def native_walks(mode: AutoresetMode) -> VectorEnv:
    return RandomWalks(3, mode)


@pytest.fixture(
    scope="module", params=[{}, {"gru_cell_size": 4, "vf_share_layers": True}], ids=["mlp", "gru"]
)
def policy(request: pytest.FixtureRequest) -> ActorCritic:
    spec = module_spec(ModelConfig(fcnet_hiddens=[8], **request.param))
    walk = RandomWalk()
    spec.observation_space, spec.action_space = walk.observation_space, walk.action_space
    return spec.build()


@modes
@pytest.mark.parametrize("make", [walks, native_walks])
@pytest.mark.parametrize("interrupted_after", range(len(CALLS) + 1))
def test_restored_is_uninterrupted(
    mode: AutoresetMode,
    make: Callable[[AutoresetMode], VectorEnv],
    interrupted_after: int,
    policy: ActorCritic,
) -> None:
    behavior = PolicyBehavior(policy, explore=True)
    straight = Collector(partial(make, mode), ORIGIN)
    batches = [straight.collect(behavior, **call).batch for call in CALLS]

    first = Collector(partial(make, mode), ORIGIN)
    for call in CALLS[:interrupted_after]:
        first.collect(behavior, **call)
    # As a checkpoint would; what goes on afterwards must not reach into it.
    state = pickle.loads(pickle.dumps(first.get_state()))
    for call in CALLS[interrupted_after:]:
        first.collect(behavior, **call)

    fresh = Collector(partial(make, mode), ORIGIN)
    for restored in (fresh, first):  # a new one, and one that has gone on already
        assert restored.set_state(state)
        for call, batch in zip(CALLS[interrupted_after:], batches[interrupted_after:], strict=True):
            assert restored.collect(behavior, **call).batch == batch


class TellingCountingEnv(CountingEnv):
    def get_state(self) -> dict[str, Any]:
        return {"seed": self.seed, "episode": self.episode, "at": self.at}

    def set_state(self, state: dict[str, Any]) -> None:
        self.seed, self.episode, self.at = state["seed"], state["episode"], state["at"]


@modes
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_observation_is_restored(mode: AutoresetMode, kind: str) -> None:
    def make() -> VectorEnv:
        reuses = mode is not AutoresetMode.SAME_STEP
        return SyncVectorEnv([lambda: TellingCountingEnv(kind, reuses=reuses)] * 3, autoreset_mode=mode)

    collecting, parts = Collector(make, ORIGIN), []
    for num_steps in (4, 7, 1, 1, 5, 1, 11, 20):
        parts += check_batch(collecting.collect(RightActions(), num_steps=num_steps).batch)
        state = pickle.loads(pickle.dumps(collecting.get_state()))
        collecting = Collector(make, ORIGIN)
        assert collecting.set_state(state)
    for seed, taken in steps_of(parts).items():
        assert taken == uninterrupted(seed, len(taken))


@modes
def test_without_state_new_episodes_begin(mode: AutoresetMode) -> None:
    make = partial(sync_env, 3, mode)
    collecting = Collector(make, ORIGIN)
    before = collecting.collect(RightActions(), num_steps=10).batch
    state = collecting.get_state()
    for restored in (Collector(make, ORIGIN), collecting):
        assert not restored.set_state(state)
        after = restored.collect(RightActions(), num_steps=10).batch
        parts = check_batch(after)
        for seed, taken in steps_of(parts).items():
            assert taken == uninterrupted(seed, len(taken))
        assert not {seed for seed, *_ in parts} & {seed for seed, *_ in check_batch(before)}
        ids: Any = [batch.trajectory_columns["episode_id"] for batch in (before, after)]
        assert not set(map(tuple, ids[0].tolist())) & set(map(tuple, ids[1].tolist()))
        assert (after.trajectory_columns["sequence"] == 1).all()


def test_what_has_not_begun_is_restored_without_state() -> None:
    make = partial(sync_env, 3, AutoresetMode.DISABLED)
    fresh, whole = Collector(make, ORIGIN), Collector(make, ORIGIN)
    assert Collector(make, ORIGIN).set_state(fresh.get_state())
    whole.collect(RightActions(), num_episodes=3)
    restored = Collector(make, ORIGIN)
    assert restored.set_state(whole.get_state())
    again = whole.collect(RightActions(), num_steps=20).batch
    assert restored.collect(RightActions(), num_steps=20).batch == again


def test_random_numbers_that_nobody_asked_for_are_not_saved() -> None:
    env = make_vector_env("rayrl/Router-v0", {"requests": 8}, 2)
    env.reset(seed=3)
    assert get_env_state(env)["random"] is None
    numbers = env.unwrapped.np_random
    state = get_env_state(env)
    drawn = numbers.integers(2**60)
    set_env_state(env, state)
    assert numbers.integers(2**60) == drawn


def test_another_number_of_sub_environments_begins_new_episodes() -> None:
    two, three = (
        Collector(lambda n=n: SyncVectorEnv([RandomWalk] * n), ORIGIN)  # type: ignore[misc]
        for n in (2, 3)
    )
    behavior: Behavior = RandomBehavior(gym.spaces.Discrete(3))
    before: Any = two.collect(behavior, num_steps=50).batch.trajectory_columns["episode_id"]
    assert not three.set_state(two.get_state())
    after: Any = three.collect(behavior, num_steps=50).batch.trajectory_columns["episode_id"]
    assert not set(map(tuple, before.tolist())) & set(map(tuple, after.tolist()))


def test_epoch_names_other_episodes_and_other_randomness(policy: ActorCritic) -> None:
    behavior = PolicyBehavior(policy, explore=True)
    batches = []
    for epoch in (0, 1):
        collecting = Collector(partial(native_walks, MODES[0]), ORIGIN)
        collecting.epoch = epoch
        batches.append(collecting.collect(behavior, num_steps=64).batch)
    assert [set(batch.trajectory_columns["epoch"]) for batch in batches] == [{0}, {1}]
    ids: Any = [batch.trajectory_columns["episode_id"] for batch in batches]
    assert not set(map(tuple, ids[0].tolist())) & set(map(tuple, ids[1].tolist()))
    inputs: Any = [batch.columns[ACTION_DIST_INPUTS] for batch in batches]
    assert not np.array_equal(*inputs)


@pytest.mark.parametrize(
    ("wrap", "told"),
    [
        (lambda env: env, True),
        (lambda env: TimeLimit(env, 5), True),
        (lambda env: gym.wrappers.OrderEnforcing(gym.wrappers.PassiveEnvChecker(env)), True),
        (lambda env: TransformReward(env, lambda reward: 2 * reward), True),
        (lambda env: FrameStackObservation(env, 2), False),
        (NormalizeObservation, False),
        (NormalizeReward, False),
        (lambda env: StickyAction(env, 0.5), False),
        (lambda env: TimeLimit(FrameStackObservation(env, 2), 5), False),
    ],
)
def test_wrappers_with_a_state_of_their_own_are_not_overlooked(wrap: Any, told: bool) -> None:
    assert has_state(SyncVectorEnv([lambda: wrap(RandomWalk())] * 2)) == told


class TellingWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """Counts steps, and answers for the environment inside."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.count = 0

    def step(self, action: Any) -> Any:
        self.count += 1
        observation, _, *rest = super().step(action)
        return observation, float(self.count), *rest

    def get_state(self) -> dict[str, Any]:
        return {"count": self.count, "inside": self.unwrapped.get_state()}  # type: ignore[attr-defined]

    def set_state(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        self.unwrapped.set_state(state["inside"])  # type: ignore[attr-defined]


@modes
def test_a_wrapper_that_tells_its_state_answers_for_what_it_wraps(mode: AutoresetMode) -> None:
    def make() -> VectorEnv:
        return SyncVectorEnv([lambda: TimeLimit(TellingWrapper(RandomWalk()), 5)] * 2, autoreset_mode=mode)

    behavior = RandomBehavior(gym.spaces.Discrete(3))
    straight = Collector(make, ORIGIN)
    straight.collect(behavior, num_steps=21)
    restored = Collector(make, ORIGIN)
    assert restored.set_state(straight.get_state())
    batch = straight.collect(behavior, num_steps=21).batch
    assert restored.collect(behavior, num_steps=21).batch == batch
    assert max(batch.columns["rewards"]) > 15  # type: ignore[type-var, arg-type]
