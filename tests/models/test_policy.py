import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rayrl.errors import DataError, PolicyError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy import Policy
from rayrl.models.weights import LoadReport

NESTED = spaces.Dict(
    x=spaces.Box(-1, 1, (3,)),
    inner=spaces.Dict(gear=spaces.Discrete(3)),
    action_mask=spaces.Box(0, 1, (4,), np.int8),
)


def policy_for(observation_space, action_space, **options):
    network = ActorCriticNetwork(observation_space, action_space, ModelConfig(**options))
    report = LoadReport((), (), (), ())
    return Policy(network, architecture="mlp_baseline", provenance={}, report=report)


def biased(bias, observation_space=None, action_space=None, **options):
    """A policy whose distribution inputs are ``bias``, whatever it sees."""
    policy = policy_for(
        observation_space or spaces.Box(-1, 1, (2,)), action_space or spaces.Discrete(len(bias)), **options
    )
    with torch.no_grad():
        output = policy.network.policy_head.linears[-1]
        output.weight.zero_()
        output.bias.copy_(torch.tensor(bias))
    return policy


@pytest.mark.parametrize(
    "observation_space", [spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2, 2)), spaces.Discrete(4), NESTED]
)
@pytest.mark.parametrize(
    "action_space",
    [spaces.Discrete(4, start=2), spaces.MultiDiscrete([2, 2]), spaces.Box(0, 9, (2,), np.float64)],
)
def test_single_and_batched_observations_get_the_same_actions(observation_space, action_space):
    if observation_space is NESTED and isinstance(action_space, spaces.Box):
        observation_space = spaces.Dict({k: v for k, v in NESTED.items() if k != "action_mask"})
    policy = policy_for(observation_space, action_space)
    assert policy.spaces == (observation_space, action_space)
    batch = gym.vector.utils.batch_space(observation_space, 5).sample()
    if isinstance(batch, dict) and "action_mask" in batch:
        batch["action_mask"][:] = 1
    singles = list(gym.vector.utils.iterate(gym.vector.utils.batch_space(observation_space, 5), batch))
    for deterministic in (True, False):
        actions = policy.act(batch, deterministic=deterministic, generator=np.random.default_rng(0))
        assert len(actions) == 5
        assert all(action_space.contains(action) for action in actions)
    np.testing.assert_allclose([policy.act(single) for single in singles], policy.act(batch), atol=1e-5)


def test_actions_by_hand():
    # Odds 1 : 3
    policy = biased([0.0, math.log(3)])
    assert policy.act(np.zeros(2)) == 1
    assert policy.act(np.zeros((3, 2))).tolist() == [1, 1, 1]
    np.testing.assert_allclose(policy.action_probabilities(np.zeros(2)), [0.25, 0.75], rtol=1e-6)
    assert policy.action_probabilities(np.zeros((3, 2))).shape == (3, 2)
    sampled = policy.act(np.zeros((10_000, 2)), deterministic=False, generator=np.random.default_rng(0))
    assert sampled.mean() == pytest.approx(0.75, abs=5 * math.sqrt(0.75 * 0.25 / 10_000))


def test_sampling_repeats_with_the_same_generator():
    policy, x = biased([0.0, 0.0, 0.0]), np.zeros((50, 2))
    first, again, other = (
        policy.act(x, deterministic=False, generator=np.random.default_rng(seed)).tolist()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 0.5 of [−1, 1] in [0, 10]; 3 is clipped there.
        ({}, [7.5, 10]),
        ({"normalize_actions": False}, [0.5, 3.0]),
        ({"squash_actions": True}, [5 + 5 * math.tanh(0.5), 5 + 5 * math.tanh(3)]),
    ],
)
def test_box_actions_come_in_the_environments_units(options, expected):
    policy = biased([0.5, 3.0, 0.0, 0.0], action_space=spaces.Box(0, 10, (2,)), **options)
    np.testing.assert_allclose(policy.act(np.zeros(2, np.float32)), expected, rtol=1e-6)


def test_masks_are_obeyed():
    policy = biased([0.0, 1.0, 2.0, 3.0], NESTED, spaces.Discrete(4))
    seen = {"x": np.zeros(3), "inner": {"gear": 1}, "action_mask": np.array([1, 1, 0, 0], np.int8)}
    assert policy.act(seen) == 1
    assert policy.action_probabilities(seen)[2:].tolist() == [0, 0]


def test_read_only_and_float64_observations_are_taken():
    policy, x = policy_for(spaces.Box(-1, 1, (2,)), spaces.Discrete(3)), np.ones(2)
    x.flags.writeable = False
    assert policy.act(x) == policy.act(np.ones(2, np.float32))


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (spaces.Box(-1, 1, (2,)), np.zeros(3), "obs has shape (3,)"),
        (spaces.Box(-1, 1, (2,)), np.zeros((1, 1, 2)), "obs has shape (1, 1, 2)"),
        (spaces.Box(-1, 1, (2,)), {"x": np.zeros(2)}, "has the parts ['obs/x'], the policy reads ['obs']"),
        (spaces.Dict(a=spaces.Discrete(2), b=spaces.Discrete(2)), {"a": 1, "b": [1]}, "obs/b has shape (1,)"),
    ],
)
def test_observations_of_another_form_are_named(space, observation, message):
    with pytest.raises(DataError) as caught:
        policy_for(space, spaces.Discrete(3)).act(observation)
    assert message in str(caught.value)


def test_only_discrete_actions_have_a_list_of_probabilities():
    policy = policy_for(spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (2,)))
    with pytest.raises(PolicyError, match="only Discrete actions"):
        policy.action_probabilities(np.zeros(2))
