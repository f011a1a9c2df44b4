"""What acting costs, counted by hand."""

import pytest
import torch
from gymnasium import spaces

from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.costs import acting_parameters, flops
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_facts import policy_facts
from rayrl.models.policy_folder import read_description, save_policy
from tests.models.level_observations import ACTION, graph_space

BOX = spaces.Box(-1, 1, (4,))


def test_a_plain_network():
    for shared in (False, True):
        net = ActorCriticNetwork(BOX, ACTION, ModelConfig(fcnet_hiddens=(8,), vf_share_layers=shared))
        # The layers of the policy alone: 4 → 8 → 5.
        assert acting_parameters(net) == 5 * 8 + 9 * 5
        assert flops(net) == 2 * (4 * 8 + 8 * 5)


def test_convolutions_and_a_memory():
    space = spaces.Box(0, 255, (6, 6, 1))
    net = ActorCriticNetwork(
        space,
        ACTION,
        ModelConfig(conv_filters=[[2, 3, 2]], fcnet_hiddens=(8,), gru_cell_size=3, vf_share_layers=True),
    )
    # 3 × 3 places of 2 channels, each 3 × 3 pixels; then 18 → 8, three gates of 8 and 3 numbers, and 3 → 5.
    assert flops(net) == 2 * (9 * 2 * 9 + 18 * 8 + 3 * 3 * (8 + 3) + 3 * 5)


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        # W x, and along 3 edges and 2 loops a product and a sum.
        ("gcn", 2 * 2 * 8 * 8 + 2 * 5 * 8),
        # Sources and targets, the types of 5 edges, and along each of them 7 for a number.
        ("gat", 2 * (2 * 2 * 8 * 8 + 5 * 5 * 8) + 7 * 5 * 8),
        # Keys, queries, values and the node itself, the types of 3 edges, and along each of them 6.
        ("simplified_hgt", 2 * (4 * 2 * 8 * 8 + 3 * 4 * 8) + 6 * 3 * 8),
        # Keys, queries, values, the matrices of 4 edge types and 2 heads for keys and values, the output; 4.
        ("hgt", 2 * (4 * 2 * 8 * 8 + 2 * 4 * 2 * 2 * 4 * 4) + 4 * 3 * 8),
    ],
)
def test_graph_layers(kind, layer):
    space = spaces.Dict(level=graph_space(2, 3))
    graph = {"kind": kind, "hidden_dim": 8, "num_layers": 1, "num_heads": None if kind == "gcn" else 2}
    config = ModelConfig(modalities={"level": "graph"}, graph=graph, features_dim=6, vf_share_layers=True)
    # 4 + 3 numbers and 6 types of 2 nodes, the layer, the readout of three, the projection and the head.
    rest = 2 * (2 * 13 * 8 + 3 * 8 * 8 + 8 * 6 + 6 * 5)
    assert flops(ActorCriticNetwork(space, ACTION, config)) == rest + layer


def test_a_policy_folder_says_what_it_costs(tmp_path):
    with torch.random.fork_rng(devices=[]):
        net = ActorCriticNetwork(BOX, ACTION, ModelConfig(fcnet_hiddens=(8,)))
    save_policy(tmp_path / "policy", net, architecture="mlp_baseline", provenance={})
    description = read_description(tmp_path / "policy")
    assert (description.parameters, description.flops) == (85, 144)
    facts = policy_facts(tmp_path / "policy")
    assert facts["parameters of the policy"] == 85
    assert facts["operations for the largest observation"] == 144
