"""What the behaviours choose, and what they leave in the batch."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rayrl.envs.demonstrators import make_demonstrator
from rayrl.errors import DataError
from rayrl.experience.columns import ACTION_DIST_INPUTS, ACTION_LOGP, ACTIONS, TEMPERATURE
from rayrl.models.actor_critic import ActorCritic, module_spec
from rayrl.models.model_config import ModelConfig
from rayrl.rollout.behavior import NOISE_STEPS, DemonstratorBehavior, PolicyBehavior, RandomBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.origin import Origin


class Blank(gym.Env[Any, Any]):
    """Shows noise, and takes any action of its space."""

    def __init__(self, action_space: Space[Any], observation_space: Space[Any] | None = None) -> None:
        self.action_space = action_space
        self.observation_space = observation_space or Box(-1, 1, (4,), np.float32)
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.at = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.taken.append(np.array(action))
        self.at += 1
        return self.observation_space.sample(), 1.0, self.at == 10, False, {}


def blank(space: Space[Any], num_envs: int = 3, seed: int = 0, mode: str = "NextStep") -> Collector:
    envs = SyncVectorEnv([lambda: Blank(space)] * num_envs, autoreset_mode=AutoresetMode(mode))
    return Collector(lambda: envs, Origin("behaviour", seed), max_env_failures=0)


def policy_for(env: gym.Env[Any, Any] | Blank, **options: Any) -> ActorCritic:
    spec = module_spec(ModelConfig(fcnet_hiddens=[16], **options))
    spec.observation_space, spec.action_space = env.observation_space, env.action_space
    module: ActorCritic = spec.build()
    with torch.no_grad():  # far from uniform
        for parameter in module.network.policy_head.parameters():
            parameter.mul_(50)
    return module


SPACES = [
    Discrete(4),
    Discrete(3, start=-1),
    MultiDiscrete([2, 5]),
    MultiBinary(3),
    Box(-2, 3, (2,), np.float32),
    Box(-2, 3, (2, 2), np.float64),
    Box(-np.inf, np.inf, (1,), np.float32),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("explore", [True, False])
def test_log_probabilities_are_the_learners(space: Space[Any], explore: bool) -> None:
    module = policy_for(Blank(space))
    batch = blank(space).collect(PolicyBehavior(module, explore=explore), num_steps=50).batch
    with torch.no_grad():
        inputs = module.policy({"obs": torch.from_numpy(batch.columns["obs"])})
        logp = module.distribution.logp(inputs, torch.from_numpy(batch.columns[ACTIONS]))
    kept = torch.from_numpy(batch.columns[ACTION_LOGP])
    ratio = torch.exp(logp - kept)
    assert (ratio - 1).abs().max() < 1e-5
    np.testing.assert_allclose(batch.columns[ACTION_DIST_INPUTS], inputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_each_row_keeps_its_temperature_and_its_log_probability_there(space: Space[Any]) -> None:
    module, collecting = policy_for(Blank(space)), blank(space)
    hot, cold = (PolicyBehavior(module, explore=True, temperature=t) for t in (3.0, 0.5))
    # 3 rows a step: of 50, two are withheld for the next batch, as drawn at the first temperature.
    first = collecting.collect(hot, num_steps=49).batch
    second = collecting.collect(cold, num_steps=49).batch
    columns: Any = second.columns
    assert np.unique(first.columns[TEMPERATURE]).tolist() == [3.0]
    assert sorted(columns[TEMPERATURE].tolist()) == [0.5] * 47 + [3.0] * 2
    with torch.no_grad():
        inputs = module.policy({"obs": torch.from_numpy(columns["obs"])})
        np.testing.assert_allclose(columns[ACTION_DIST_INPUTS], inputs, rtol=1e-4, atol=1e-5)
        tempered = module.distribution.tempered(inputs, torch.from_numpy(columns[TEMPERATURE]))
        logp = module.distribution.logp(tempered, torch.from_numpy(columns[ACTIONS]))
    ratio = torch.exp(logp - torch.from_numpy(columns[ACTION_LOGP]))
    assert (ratio - 1).abs().max() < 1e-5


def test_samples_follow_the_tempered_probabilities() -> None:
    space = Discrete(4)
    module = policy_for(Blank(space))
    batch = blank(space).collect(PolicyBehavior(module, explore=True, temperature=4.0), num_steps=1000).batch
    columns: Any = batch.columns
    expected = torch.softmax(torch.from_numpy(columns[ACTION_DIST_INPUTS]) / 4.0, -1).sum(0)
    counts = np.bincount(columns[ACTIONS], minlength=4)
    np.testing.assert_allclose(counts, expected, atol=4 * np.sqrt(1000 / 4))


def test_the_most_likely_action_has_no_temperature() -> None:
    space = Discrete(4)
    module = policy_for(Blank(space))
    behavior = PolicyBehavior(module, explore=False, temperature=4.0)
    batch = blank(space).collect(behavior, num_steps=20).batch
    assert np.unique(batch.columns[TEMPERATURE]).tolist() == [1.0]
    assert (
        TEMPERATURE
        not in blank(space).collect(PolicyBehavior(module, explore=True), num_steps=20).batch.columns
    )


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_environment_gets_what_was_kept_in_its_own_units(space: Space[Any]) -> None:
    module = policy_for(Blank(space))
    for behavior in (PolicyBehavior(module, explore=True), RandomBehavior(space, module)):
        collecting = blank(space, num_envs=1, mode="Disabled")
        batch = collecting.collect(behavior, num_steps=25).batch
        taken = np.stack(collecting.env.unwrapped.envs[0].taken)
        kept = module.distribution.to_env(batch.columns[ACTIONS])  # type: ignore[arg-type]
        np.testing.assert_allclose(kept, taken, rtol=1e-5, atol=1e-6)


def test_random_actions_without_a_policy_are_kept_as_they_are() -> None:
    space = Box(-2, 3, (2,), np.float32)
    collecting = blank(space, num_envs=1, mode="Disabled")
    batch = collecting.collect(RandomBehavior(space), num_steps=25).batch
    np.testing.assert_array_equal(batch.columns[ACTIONS], collecting.env.unwrapped.envs[0].taken)
    assert np.ptp(batch.columns[ACTIONS]) > 3  # type: ignore[arg-type]


def test_samples_follow_the_probabilities_and_the_seed() -> None:
    space = Discrete(4)
    module = policy_for(Blank(space))

    def columns(seed: int, *, explore: bool = True) -> Any:
        behavior = PolicyBehavior(module, explore=explore)
        return blank(space, seed=seed).collect(behavior, num_steps=1000).batch.columns

    sampled = columns(0)
    logits = torch.from_numpy(sampled[ACTION_DIST_INPUTS])
    expected = torch.softmax(logits, -1).sum(0)
    counts = np.bincount(sampled[ACTIONS], minlength=4)
    # Within four standard deviations, each at most √(n / 4).
    np.testing.assert_allclose(counts, expected, atol=4 * np.sqrt(1000 / 4))
    np.testing.assert_array_equal(sampled[ACTIONS], columns(0)[ACTIONS])
    assert not np.array_equal(sampled[ACTIONS], columns(1)[ACTIONS])
    np.testing.assert_array_equal(columns(0, explore=False)[ACTIONS], logits.argmax(-1))


def test_every_step_has_its_own_noise_and_each_batch_too() -> None:
    space = Box(-np.inf, np.inf, (1,), np.float32)
    module = policy_for(Blank(space))
    collecting = blank(space, num_envs=2)
    seen: list[float] = []
    for _ in range(2):
        columns: Any = collecting.collect(
            PolicyBehavior(module, explore=True), num_steps=2 * (NOISE_STEPS + 100)
        ).batch.columns
        mean, log_std = columns[ACTION_DIST_INPUTS].T
        seen += ((columns[ACTIONS][:, 0] - mean) / np.exp(log_std)).tolist()
    assert len(np.unique(np.round(seen, 3))) > 0.8 * len(seen)
    assert abs(np.mean(seen)) < 4 / np.sqrt(len(seen))
    assert abs(np.std(seen) - 1) < 4 / np.sqrt(2 * len(seen))


class Masked(Blank):
    """Forbids everything when the episode is over, as games do."""

    def __init__(self) -> None:
        observation = Dict({"state": Box(-1, 1, (4,), np.float32), "action_mask": Box(0, 1, (3,), np.int8)})
        super().__init__(Discrete(3), observation)

    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        return {**observation, "action_mask": np.array([1, 0, 1], np.int8)}, info

    def step(self, action: Any) -> Any:
        assert action != 1
        observation, reward, over, *rest = super().step(action)
        mask = np.zeros(3, np.int8) if over else np.array([1, 0, 1], np.int8)
        return {**observation, "action_mask": mask}, reward, over, *rest


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("explore", [True, False])
def test_a_last_observation_may_forbid_every_action(mode: AutoresetMode, explore: bool) -> None:
    module = policy_for(Masked())
    envs = SyncVectorEnv([Masked] * 2, autoreset_mode=mode)
    collecting = Collector(lambda: envs, Origin("mask", 0), max_env_failures=0)
    batch = collecting.collect(PolicyBehavior(module, explore=explore), num_steps=100).batch
    columns: Any = batch.columns
    assert (columns["obs/action_mask"] == [1, 0, 1]).all()
    final: Any = batch.trajectory_columns["final_obs/action_mask"]
    over: Any = batch.trajectory_columns["terminated"]
    assert over.sum() == 10
    assert not final[over].any()


class Stubborn:
    """Always gives the same actions."""

    def __init__(self, actions: Any) -> None:
        self.actions = actions
        self.saw: list[Any] = []

    def act(self, env: Any, observations: Any) -> Any:
        self.saw.append((env, observations))
        return self.actions

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("space", "actions", "stored"),
    [
        (Discrete(4), [0, 3], np.int64),
        (Discrete(4), np.array([0.0, 3.0]), np.int64),
        (Discrete(4), np.array([0, 3], np.uint8), np.int64),
        (Box(-1, 1, (1,), np.float32), np.array([[0.5], [-1.0]]), np.float32),
        (MultiBinary(2), [[0, 1], [1, 1]], np.int8),
        (MultiDiscrete([2, 3]), [[0, 2], [1, 1]], np.int64),
    ],
)
def test_a_demonstrators_actions_are_kept_in_the_spaces_type(
    space: Space[Any], actions: Any, stored: type
) -> None:
    collecting, stubborn = blank(space, num_envs=2, mode="Disabled"), Stubborn(actions)
    batch = collecting.collect(DemonstratorBehavior("stubborn", stubborn), num_steps=6).batch
    kept: Any = batch.columns[ACTIONS]
    assert kept.dtype == stored
    np.testing.assert_array_equal(kept, np.repeat(actions, 3, axis=0))
    env, observations = stubborn.saw[0]
    assert env is collecting.env
    assert observations.shape == (2, 4)


@pytest.mark.parametrize(
    ("space", "actions"),
    [
        (Discrete(4), [0, 4]),
        (Discrete(4), [0, 0.5]),
        (Discrete(4), [0]),
        (Discrete(4, start=1), [0, 1]),
        (Box(-1, 1, (1,), np.float32), [[0.5], [1.5]]),
        (Box(-1, 1, (1,), np.float32), [[0.5], [np.nan]]),
        (MultiBinary(2), [[0, 1], [1, 2]]),
        (MultiBinary(2), [[0, 1], [1, 257]]),
        (MultiDiscrete([2, 3]), [[0, 2], [2, 1]]),
    ],
)
def test_a_demonstrators_actions_are_of_the_space(space: Space[Any], actions: Any) -> None:
    behavior = DemonstratorBehavior("stubborn", Stubborn(actions))
    with pytest.raises(DataError, match=r"demonstrator stubborn: gave .* 2 actions of"):
        blank(space, num_envs=2).collect(behavior, num_steps=6)


def test_a_demonstrator_sees_the_environment_that_replaced_a_broken_one() -> None:
    class Fragile(Blank):
        steps = 0

        def step(self, action: Any) -> Any:
            Fragile.steps += 1
            if Fragile.steps == 7:
                raise RuntimeError
            return super().step(action)

    stubborn = Stubborn([0, 0])
    envs: list[Any] = []

    def make() -> SyncVectorEnv:
        envs.append(SyncVectorEnv([lambda: Fragile(Discrete(2))] * 2))
        return envs[-1]

    Collector(make, Origin("fragile", 0)).collect(DemonstratorBehavior("stubborn", stubborn), num_steps=20)
    assert len(envs) == 2
    assert {id(env) for env, _ in stubborn.saw} == {id(env) for env in envs}


def test_a_demonstrator_of_a_dict_sees_a_dict() -> None:
    stubborn = Stubborn([0, 2])
    envs = SyncVectorEnv([Masked] * 2)
    Collector(lambda: envs, Origin("dict", 0)).collect(DemonstratorBehavior("s", stubborn), num_steps=4)
    assert stubborn.saw[0][1].keys() == {"state", "action_mask"}


def test_random_demonstrators_serve_every_space() -> None:
    for space in SPACES:
        random = make_demonstrator("any", "random", seed=1)
        blank(space).collect(DemonstratorBehavior("random", random), num_steps=30)
