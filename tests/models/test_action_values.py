"""A network of action values acts ε-greedily, with masks, in policy folders, and by its mode greedily."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from rayrl.errors import SpaceError
from rayrl.models.action_values import ActionValues
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import load_policy, save_policy

OBS = gym.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gym.spaces.Discrete(4, start=1)
MASKED = gym.spaces.Dict(
    {"action_mask": gym.spaces.Box(0, 1, (4,), np.int8), "x": gym.spaces.Box(-1, 1, (3,), np.float32)}
)


def module(observation=OBS, dueling=True, **kwargs):
    torch.manual_seed(0)
    made = ActionValues(
        observation_space=observation,
        action_space=ACTIONS,
        model_config={"fcnet_hiddens": [8], "dueling": dueling},
        **kwargs,
    )
    made.network.epsilon.fill_(0.2)
    return made


def test_probabilities_are_epsilon_greedy():
    net = module()
    parts = {"obs": torch.randn(6, 3)}
    values = net.network.action_values_of(*net.network.read(parts))
    probability = net.policy(parts).softmax(-1)
    # 0.2 / 4 for each, and 0.8 more for the best.
    expected = torch.full((6, 4), 0.05)
    expected[torch.arange(6), values.argmax(-1)] = 0.85
    torch.testing.assert_close(probability, expected)


def test_masked_actions_are_neither_the_best_nor_drawn():
    net = module(MASKED)
    mask = torch.tensor([[0, 1, 0, 1]] * 5, dtype=torch.int8)
    parts = {"obs/x": torch.randn(5, 3), "obs/action_mask": mask}
    values = net.network.action_values_of(*net.network.read(parts))
    probability = net.policy(parts).softmax(-1)
    expected = torch.tensor([[0.0, 0.1, 0.0, 0.1]] * 5)
    expected[torch.arange(5), values.where(mask != 0, -torch.inf).argmax(-1)] = 0.9
    torch.testing.assert_close(probability, expected)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_the_mode_is_greedy_whatever_epsilon_is(epsilon):
    net = module()
    net.network.epsilon.fill_(epsilon)
    parts = {"obs": torch.randn(50, 3)}
    values = net.network.action_values_of(*net.network.read(parts))
    inputs = net.policy(parts).detach().numpy()
    assert np.isfinite(inputs).all()
    assert (net.distribution.mode(inputs) == values.argmax(-1).numpy() + 1).all()


def test_dueling_values_are_value_plus_centred_advantage():
    net = module()
    flat = torch.randn(6, 3)
    features = net.network.encoder(flat, ())
    advantage, value = net.network.policy_head(features), net.network.value_head(features)
    expected = value + advantage - advantage.mean(-1, keepdim=True)
    torch.testing.assert_close(net.network.action_values_of(flat, ()), expected)
    plain = module(dueling=False)
    assert not hasattr(plain.network, "value_head")
    given = plain.network.action_values_of(flat, ())
    torch.testing.assert_close(given, plain.network.policy_head(plain.network.encoder(flat, ())))


def test_rollouts_get_no_value_and_no_slow_copy_and_act_the_same():
    whole, worker = module(), module(inference_only=True)
    state = whole.get_state(inference_only=True)
    assert not any("target" in name or "value" in name for name in state)
    worker.set_state(state)
    parts = {"obs": torch.randn(6, 3)}
    torch.testing.assert_close(worker.policy(parts), whole.policy(parts))


def test_a_policy_folder_holds_it(tmp_path):
    net = module()
    save_policy(tmp_path / "policy", net.network, architecture="mlp_baseline", provenance={})
    policy = load_policy(tmp_path / "policy")
    observations = np.random.default_rng(0).standard_normal((20, 3), dtype=np.float32)
    values = net.network.action_values_of(torch.from_numpy(observations), ())
    assert (policy.act(observations) == values.argmax(-1).numpy() + 1).all()
    assert policy.action_probabilities(observations).max(1) == pytest.approx(0.85)


def test_continuous_actions_have_no_values():
    box = gym.spaces.Box(-1, 1, (2,), np.float32)
    with pytest.raises(SpaceError, match="Q-learning has no values"):
        ActionValues(observation_space=OBS, action_space=box, model_config={})
    with pytest.raises(SpaceError, match="no list of values"):
        ActorCriticNetwork(OBS, box, ModelConfig(epsilon_greedy=True))
