"""The networks of SAC: what rollouts get of them, and the density of what they sample."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from rayrl.errors import SpaceError
from rayrl.models.distributions import SquashedGaussian
from rayrl.models.soft_actor_critic import SoftActorCritic

OBS = gym.spaces.Box(-1, 1, (3,), np.float32)
BOX = gym.spaces.Box(-2, 2, (2,), np.float32)


def module(actions=BOX, **kwargs):
    model_config = {"fcnet_hiddens": [8], **kwargs.pop("model_config", {})}
    return SoftActorCritic(observation_space=OBS, action_space=actions, model_config=model_config, **kwargs)


def test_box_actions_are_squashed_and_critics_take_them():
    made = module()
    assert isinstance(made.distribution, SquashedGaussian)
    assert made.network.config.squash_actions
    assert made.critics.weights[0].shape == (2, 3 + 2, 8)
    assert not any(parameter.requires_grad for parameter in made.target_critics.parameters())
    for name, value in made.critics.state_dict().items():
        assert torch.equal(value, made.target_critics.state_dict()[name])


def test_discrete_actions_have_values_each_and_one_critic_is_enough_if_asked_for():
    made = module(
        gym.spaces.Discrete(5), model_config={"twin_q": False, "q_model_config": {"fcnet_hiddens": [7]}}
    )
    assert [tuple(weight.shape) for weight in made.critics.weights] == [(1, 3, 7), (1, 7, 5)]


def test_rollouts_get_the_policy_alone():
    state = module().get_state(inference_only=True)
    assert all(name.startswith("network.") for name in state)
    worker = module(inference_only=True)
    worker.set_state(state)
    assert not hasattr(worker, "critics")


def test_other_actions_are_refused():
    with pytest.raises(SpaceError, match="no policy for MultiDiscrete"):
        module(gym.spaces.MultiDiscrete([2, 3]))


def test_reparameterized_actions_have_the_density_of_the_distribution():
    distribution = SquashedGaussian(BOX)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 4, generator=generator).requires_grad_()
    noise = torch.randn(50, 2, generator=generator)
    actions, logp = distribution.reparameterized(inputs, noise)
    sampled = distribution.sample(inputs.detach().numpy(), noise.numpy())
    np.testing.assert_allclose(actions.detach().numpy(), sampled, atol=1e-5)
    kept = (actions.detach().abs() < 0.99).all(1)
    torch.testing.assert_close(logp[kept], distribution.logp(inputs, actions)[kept], atol=2e-3, rtol=1e-3)
    # d/dμ of a = tanh(μ + σ ε) is 1 - a²
    (gradient,) = torch.autograd.grad(actions.sum(), inputs)
    torch.testing.assert_close(gradient[:, :2], 1 - actions.detach().square())
