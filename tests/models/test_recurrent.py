"""Networks that remember: against PyTorch's own unit, step by step against whole sequences, and by hand."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rayrl.errors import ConfigError, DataError, PolicyError
from rayrl.models.action_values import greedy
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import architecture, parameter_count
from rayrl.models.model_config import ModelConfig
from rayrl.models.observed import Observed
from rayrl.models.policy import Policy
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.models.sequences import Sequences, evaluate_rows, pack
from rayrl.models.soft_actor_critic import squashed
from rayrl.models.weights import LoadReport

OBSERVATION, ACTION = spaces.Box(-1, 1, (3,)), spaces.Discrete(4)
OPTIONS = {"fcnet_hiddens": (8,), "gru_cell_size": 5, "vf_share_layers": True}


def network(seed=0, **options):
    torch.manual_seed(seed)
    made = ActorCriticNetwork(OBSERVATION, ACTION, ModelConfig(**OPTIONS | options))
    with torch.no_grad():  # far from uniform, with biases that count
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return made


def rows(count, seed=0):
    return {"obs": torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (count, 3)).astype("f4"))}


def step_by_step(net, parts, offsets, states):
    """Inputs, values and states of trajectories, one step of one of them at a time."""
    inputs, values, after = [], [], []
    for i in range(len(offsets) - 1):
        state = states[i : i + 1]
        for row in range(offsets[i], offsets[i + 1]):
            part = {"obs": parts["obs"][row : row + 1]}
            values.append(net.value(part, Sequences.steps(state)))
            given, state = net.step(part, state)
            inputs.append(given)
            after.append(state)
    return torch.cat(inputs), torch.cat(values), torch.cat(after)


def test_a_step_by_hand():
    net = ActorCriticNetwork(
        spaces.Box(-9, 9, (1,)),
        spaces.Discrete(2),
        ModelConfig(fcnet_hiddens=(1,), fcnet_activation="linear", gru_cell_size=1, vf_share_layers=True),
    )
    values = {
        "encoder.mlp.linears.0.weight": [[1.0]],
        "encoder.gru.weight_ih_l0": [[1.0], [0.0], [2.0]],  # r, z, n
        "encoder.gru.weight_hh_l0": [[0.0], [0.0], [3.0]],
        "encoder.gru.bias_ih_l0": [0.0, math.log(3), 0.5],
        "encoder.gru.bias_hh_l0": [0.0, 0.0, 1.0],
    }
    net.load_state_dict({**net.state_dict(), **{name: torch.tensor(x) for name, x in values.items()}})
    # r = σ(0.7), z = σ(log 3) = 3/4, n = tanh(2 · 0.7 + 0.5 + r (3 · 0.4 + 1)), h' = n / 4 + 3/4 · 0.4
    r = 1 / (1 + math.exp(-0.7))
    expected = math.tanh(2 * 0.7 + 0.5 + r * (3 * 0.4 + 1)) / 4 + 0.3
    _, after = net.step({"obs": torch.tensor([[0.7]])}, torch.tensor([[0.4]]))
    assert after.item() == pytest.approx(expected, rel=1e-6)
    states = net.states({"obs": torch.tensor([[0.7]])}, Sequences.steps(torch.tensor([[0.4]])))
    assert states.item() == pytest.approx(expected, rel=1e-6)


def test_a_sequence_is_what_torchs_unit_makes_of_the_hidden_layers_features():
    net, parts = network(), rows(6)
    unit = torch.nn.GRU(8, 5)
    unit.load_state_dict(net.encoder.gru.state_dict())
    features = torch.tanh(net.encoder.mlp.linears[0](parts["obs"]))
    start = torch.randn(1, 5)
    expected, _ = unit(features.unsqueeze(1), start.unsqueeze(1))
    state, found = start, []
    for row in range(6):
        _, state = net.step({"obs": parts["obs"][row : row + 1]}, state)
        found.append(state)
    torch.testing.assert_close(torch.cat(found), expected.squeeze(1))
    whole = net.states(parts, pack(np.array([0]), np.array([6])).sequences(start))
    torch.testing.assert_close(whole, expected.squeeze(1))


def test_sequences_give_what_single_steps_give_with_a_new_start_at_each_episode():
    net, parts = network(), rows(12)
    offsets = np.array([0, 5, 6, 12])
    states = torch.cat([torch.randn(1, 5), net.initial_state(2)])  # the first goes on from before
    inputs, values, after = step_by_step(net, parts, offsets, states)
    torch.testing.assert_close(evaluate_rows(net.policy, Observed(parts), offsets, states), inputs)
    torch.testing.assert_close(evaluate_rows(net.value, Observed(parts), offsets, states), values)
    torch.testing.assert_close(evaluate_rows(net.states, Observed(parts), offsets, states), after)
    assert net.initial_state(2).eq(0).all()


@pytest.mark.parametrize("other", [1, 3, 9])
def test_neither_outputs_nor_gradient_of_a_sequence_depend_on_the_lengths_of_others(other):
    net = network()

    def outputs_and_gradient(*lengths):
        net.zero_grad()
        packing = pack(np.array([0, 4][: len(lengths)]), np.array(lengths))
        parts = {"obs": rows(13)["obs"][packing.rows]}
        inputs, values = net.policy_and_value(parts, packing.sequences(net.initial_state(len(lengths))))
        mine = torch.from_numpy(packing.rows < 4)
        (inputs[mine].square().sum() + values[mine].sum()).backward()
        order = np.argsort(packing.rows[packing.rows < 4])
        return inputs[mine][order].detach(), [x.grad.clone() for x in net.parameters()]

    alone, gradient = outputs_and_gradient(4)
    beside, same_gradient = outputs_and_gradient(4, other)
    torch.testing.assert_close(beside, alone)
    for a, b in zip(same_gradient, gradient, strict=True):
        torch.testing.assert_close(a, b)


def test_one_that_remembers_nothing_takes_the_same_calls():
    net = ActorCriticNetwork(OBSERVATION, ACTION, ModelConfig(fcnet_hiddens=(8,)))
    parts = rows(4)
    state = net.initial_state(4)
    assert state.shape == (4, 0)
    inputs, after = net.step(parts, state)
    assert after is state
    assert torch.equal(inputs, net.policy(parts))
    assert torch.equal(net.policy(parts, Sequences.steps(state)), inputs)
    assert net.states(parts).shape == (4, 0)


def test_without_its_sequences_it_is_an_error():
    with pytest.raises(PolicyError, match="was not told what comes after what"):
        network().policy(rows(4))


def test_the_architecture_by_the_number_of_its_parameters():
    net = ActorCriticNetwork(OBSERVATION, ACTION, architecture("gru")())
    hidden = 3 * 128 + 128
    unit = 3 * (128 * 128 + 128 * 128 + 128 + 128)
    heads = 128 * 4 + 4 + 128 + 1
    assert parameter_count(net) == hidden + unit + heads
    assert net.state_size == 128
    for gate in net.encoder.gru.weight_hh_l0.detach().chunk(3):
        torch.testing.assert_close(gate @ gate.T, torch.eye(128), atol=1e-5, rtol=0)
    assert net.encoder.gru.bias_hh_l0.eq(0).all()
    assert {name.split(".")[0] for name, x in net.named_parameters() if x in net.actor_parameters()} == {
        "encoder",
        "policy_head",
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"gru_cell_size": 8}, "needs vf_share_layers = true"),
        ({"burn_in": 4}, "burn_in = 4 has no effect without gru_cell_size"),
        ({"max_seq_len": 4}, "max_seq_len = 4 has no effect without gru_cell_size"),
        ({"gru_cell_size": 0}, "gru_cell_size"),
    ],
)
def test_options_that_do_not_go_together(options, told):
    with pytest.raises(ConfigError, match=told):
        ModelConfig.from_rllib(options)


@pytest.mark.parametrize("fit", [greedy, squashed])
def test_algorithms_that_learn_from_single_steps_refuse_it(fit):
    with pytest.raises(ConfigError, match=r"(DQN|SAC) learns from single steps") as raised:
        fit(ModelConfig(**OPTIONS), ACTION)
    assert "train it with ppo" in str(raised.value)


def policy_of(net):
    return Policy(net, architecture="gru", provenance={}, report=LoadReport((), (), (), ()))


def test_a_policy_takes_its_state_and_gives_the_next():
    net, parts = network(), rows(6)
    policy = policy_of(net)
    x = parts["obs"].numpy().reshape(3, 2, 3)  # 3 steps of 2 episodes
    state = policy.initial_state(2)
    assert (state.shape, state.dtype, policy.state_size) == ((2, 5), np.float32, 5)
    for step in range(3):
        expected, after = net.step({"obs": parts["obs"][2 * step : 2 * step + 2]}, torch.from_numpy(state))
        probabilities = policy.action_probabilities(x[step], state)
        np.testing.assert_allclose(probabilities, expected.softmax(-1).detach(), rtol=1e-5)
        single, single_after = policy.step(x[step, 0], state[0])
        actions, state = policy.step(x[step], state)
        np.testing.assert_allclose(state, after.detach(), rtol=1e-6)
        assert actions.tolist() == expected.argmax(-1).tolist()
        assert single == actions[0]
        np.testing.assert_allclose(single_after, state[0], atol=1e-6)
    assert policy.initial_state().shape == (5,)


def test_what_a_policy_must_be_told():
    policy, x = policy_of(network()), np.zeros((2, 3), np.float32)
    for call in (policy.act, policy.action_probabilities):
        with pytest.raises(PolicyError, match="remembers 5 numbers of each episode") as raised:
            call(x)
        assert "initial_state()" in str(raised.value)
    with pytest.raises(DataError, match=r"state: has shape \(3, 5\)\n  give one of shape \(2, 5\)"):
        policy.step(x, policy.initial_state(3))
    plain = policy_of(ActorCriticNetwork(OBSERVATION, ACTION, ModelConfig()))
    actions, state = plain.step(x, plain.initial_state(2))
    assert actions.tolist() == plain.act(x).tolist()
    assert state.shape == (2, 0)


def test_a_policy_folder_comes_back_with_the_same_actions_and_memory(tmp_path):
    net = network(normalize_observations=True, max_seq_len=7, burn_in=3)
    save_policy(tmp_path / "policy", net, architecture="gru", provenance={})
    loaded, saved = load_policy(tmp_path / "policy"), policy_of(net)
    assert loaded.network.config == net.config
    state = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    x = rows(4)["obs"].numpy()
    for a, b in zip(loaded.step(x, state), saved.step(x, state), strict=True):
        np.testing.assert_array_equal(a, b)
