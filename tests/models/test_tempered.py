"""Distributions at a temperature: p^(1/T), normalized."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from rayrl.models.distributions import MASKED_LOGIT, action_distribution

SPACES = [
    gym.spaces.Discrete(4),
    gym.spaces.MultiDiscrete([2, 3]),
    gym.spaces.MultiBinary(2),
    gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_log_probabilities_are_divided_by_the_temperature_up_to_a_constant(space):
    distribution, rng = action_distribution(space), np.random.default_rng(0)
    inputs = torch.from_numpy(rng.standard_normal((1, distribution.input_size), dtype=np.float32))
    rows = inputs.expand(50, -1)
    actions = distribution.sample(rows.numpy(), distribution.noise(rng, (50,)))
    taken = torch.from_numpy(actions)
    for temperature in (0.5, 3.0):
        tempered = distribution.tempered(rows, torch.full((50,), temperature))
        constant = distribution.logp(tempered, taken) - distribution.logp(rows, taken) / temperature
        torch.testing.assert_close(constant, constant[:1].expand(50), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_one_changes_nothing(space):
    distribution = action_distribution(space)
    inputs = torch.linspace(-2, 2, 3 * distribution.input_size).reshape(3, -1)
    assert torch.equal(distribution.tempered(inputs, torch.ones(3)), inputs)


def test_numbers_worked_out_by_hand():
    # softmax(ln 4, 0) = (0.8, 0.2); at T = 2, (2, 1) / 3.  σ = 3 at T = 4 is 3 √4 = 6.
    discrete = action_distribution(gym.spaces.Discrete(2))
    inputs = torch.log(torch.tensor([[4.0, 1.0]]))
    at_two = discrete.tempered(inputs, torch.tensor([2.0]))
    torch.testing.assert_close(torch.softmax(at_two, -1), torch.tensor([[2 / 3, 1 / 3]]))
    normal = action_distribution(gym.spaces.Box(-1, 1, (1,), np.float32))
    at_four = normal.tempered(torch.tensor([[0.7, np.log(3.0)]], dtype=torch.float32), torch.tensor([4.0]))
    torch.testing.assert_close(at_four, torch.tensor([[0.7, np.log(6.0)]], dtype=torch.float32))


def test_masked_actions_stay_impossible():
    discrete = action_distribution(gym.spaces.Discrete(3))
    inputs = torch.tensor([[0.0, MASKED_LOGIT, 1.0]])
    tempered = discrete.tempered(inputs, torch.tensor([6.0]))
    assert torch.softmax(tempered, -1)[0, 1] == 0
    assert discrete.kl(tempered, inputs).isfinite().all()
