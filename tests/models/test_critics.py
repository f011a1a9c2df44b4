"""Critics side by side are what they would be one by one; slow copies move as told."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.nn import functional

from rayrl.models.critics import Critics, move_towards
from rayrl.models.model_config import ModelConfig
from rayrl.models.observations import ObservationLayout

SPACE = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)


def critics(outputs=1, actions=2, **options):
    torch.manual_seed(0)
    config = ModelConfig.from_rllib({"fcnet_hiddens": [8, 5], "fcnet_activation": "relu", **options})
    layout = ObservationLayout(SPACE, convolutions=False)
    return Critics(layout, config, actions=actions, outputs=outputs, count=2)


def one_by_one(net, x, layer_norm=False):
    values = []
    for k in range(2):
        h = x
        for layer, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
            h = functional.linear(h, weight[k].T, bias[k, 0])
            if layer < 2:
                if layer_norm:
                    h = functional.layer_norm(
                        h, h.shape[-1:], net.scales[layer][k, 0], net.shifts[layer][k, 0], 1e-3
                    )
                h = torch.relu(h)
        values.append(h)
    return torch.stack(values)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_both_critics_are_what_each_would_be(layer_norm):
    net = critics(fcnet_use_layernorm=layer_norm)
    obs, actions = torch.randn(4, 3), torch.randn(4, 2)
    given = net(obs, (), actions)
    assert given.shape == (2, 4, 1)
    expected = one_by_one(net, torch.cat([obs, actions], 1), layer_norm)
    torch.testing.assert_close(given, expected, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(given[0], given[1])


def test_frozen_critics_pass_gradients_to_actions_alone():
    net = critics(fcnet_use_layernorm=True)
    obs, actions = torch.randn(4, 3), torch.randn(4, 2, requires_grad=True)
    (wanted,) = torch.autograd.grad(net(obs, (), actions).sum(), actions)
    net(obs, (), actions, frozen=True).sum().backward()
    torch.testing.assert_close(actions.grad, wanted)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_values_of_all_actions_need_no_action():
    assert critics(outputs=5, actions=0)(torch.randn(4, 3), ()).shape == (2, 4, 5)


def test_a_slow_copy_moves_by_a_share():
    source, target = critics(), critics()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.fill_(3.0)
        for parameter in target.parameters():
            parameter.fill_(1.0)
    move_towards(target, source, 0.25)  # 1 + (3 - 1) / 4
    assert all((parameter == 1.5).all() for parameter in target.parameters())
    move_towards(target, source, 1.0)
    assert all((parameter == 3.0).all() for parameter in target.parameters())
