"""Graphs: padding and order change nothing, a batch is its graphs, and layers are torch-geometric's."""

import numpy as np
import pytest
import torch

from rayrl.models.encoder_options import GraphOptions
from rayrl.models.graph_encoder import GraphEncoder, by_type, pooled
from rayrl.models.graph_space import GraphSpace
from rayrl.models.model_config import ModelConfig
from rayrl.models.packed_graph import pack
from tests.models.level_observations import graph, graph_space, levels, row

KINDS = ("gcn", "gat", "hgt", "simplified_hgt")
SIZES = [(9, 30), (4, 7), (12, 40), (1, 0), (6, 0)]
NAME = "obs/graph"


@pytest.fixture
def graphs():
    rng = np.random.default_rng(3)
    return [graph(rng, nodes, edges) for nodes, edges in SIZES]


def packed(parts, nodes=12, edges=40):
    return pack(parts, NAME, GraphSpace.of(graph_space(nodes, edges), NAME))


def encoder_of(kind, **options):
    torch.manual_seed(0)
    options = {"hidden_dim": 16, "num_heads": None if kind == "gcn" else 4, **options}
    config = ModelConfig(
        modalities={"graph": "graph"}, graph=GraphOptions(kind=kind, **options), fcnet_activation="silu"
    )
    encoder = GraphEncoder(GraphSpace.of(graph_space(12, 40), NAME), config)
    with torch.no_grad():  # so that each parameter, biases and priors among them, makes a difference
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return encoder


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind, graphs):
    encoder = encoder_of(kind)
    tight = encoder(packed(levels(graphs)))
    wide = levels(graphs, 33, 90, noise=True)
    assert wide["obs/graph/node_features"][:, 20:].any()
    torch.testing.assert_close(encoder(packed(wide, 33, 90)), tight, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_nodes_and_edges_changes_nothing(kind, graphs):
    encoder, rng = encoder_of(kind), np.random.default_rng(0)
    before, after = packed(levels(graphs)), packed(levels([each.permuted(rng) for each in graphs]))
    assert not torch.equal(before.x, after.x)
    torch.testing.assert_close(encoder(before), encoder(after), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_what_each_of_its_graphs_is_alone(kind, graphs):
    encoder, parts = encoder_of(kind), levels(graphs)
    together = encoder(packed(parts))
    alone = torch.cat([encoder(packed(row(parts, i))) for i in range(len(graphs))])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    # The graphs do not all look alike.
    assert len({tuple(token) for token in together.detach().round(decimals=3).tolist()}) == len(graphs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_a_gradient_whatever_is_there(kind, graphs):
    encoder = encoder_of(kind)
    for some in (graphs, graphs[3:4], []):
        parts = levels(some or graphs[:1])
        if not some:
            parts["obs/graph/node_mask"].zero_()
            parts["obs/graph/edge_mask"].zero_()
        encoder.zero_grad()
        token = encoder(packed(parts))
        assert token.isfinite().all()
        token.sum().backward()
        gradients = {name: parameter.grad for name, parameter in encoder.named_parameters()}
        assert [name for name, grad in gradients.items() if grad is None] == []
        assert all(grad.isfinite().all() for grad in gradients.values())
        if some is graphs:
            assert [name for name, grad in gradients.items() if not grad.any()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_types_state_and_focus_count(kind, graphs):
    encoder, parts = encoder_of(kind), levels(graphs)
    before = encoder(packed(parts))
    for name in ("node_types", "node_state", "focus", "edge_types"):
        changed = dict(parts)
        array = parts[f"{NAME}/{name}"]
        changed[f"{NAME}/{name}"] = (
            array.roll(1, 1) if array.dtype.is_floating_point else (array + 1) % 2
        ).to(array.dtype)
        same = torch.equal(encoder(packed(changed)), before)
        assert same == (kind == "gcn" and name == "edge_types"), name


def test_packing_by_hand():
    rng = np.random.default_rng(0)
    parts = levels([graph(rng, 3, 2), graph(rng, 2, 1)])
    parts[f"{NAME}/node_mask"] = torch.tensor([[0, 1, 1, 0, 1] + [0] * 7, [1, 0, 0, 1] + [0] * 8]).byte()
    parts[f"{NAME}/edge_index"][0, :, :3] = torch.tensor([[1, 9, 4], [2, 9, 1]])
    parts[f"{NAME}/edge_index"][1, :, :2] = torch.tensor([[3, 0], [0, 3]])
    parts[f"{NAME}/edge_mask"][0, :4] = torch.tensor([1, 0, 1, 0])
    parts[f"{NAME}/edge_mask"][1, :2] = 1
    parts[f"{NAME}/focus"].zero_()
    parts[f"{NAME}/focus"][0, 4] = parts[f"{NAME}/focus"][1, 1] = 1  # the second is masked
    found = packed(parts)
    features = parts[f"{NAME}/node_features"]
    expected = torch.stack([features[0, 1], features[0, 2], features[0, 4], features[1, 0], features[1, 3]])
    torch.testing.assert_close(found.x[:, :4], expected)
    assert found.graph.tolist() == [0, 0, 0, 1, 1]
    assert found.counts.tolist() == [3, 2]
    # 1 → 2 and 4 → 1 of the first, 3 → 0 and 0 → 3 of the second
    assert found.source.tolist() == [0, 2, 4, 3]
    assert found.target.tolist() == [1, 0, 3, 4]
    assert found.focus.tolist() == [2]
    assert len(found) == 2


def test_the_readout_by_hand(graphs):
    found = packed(levels(graphs[:2]))
    x = torch.arange(13.0)[:, None].repeat(1, 2) * torch.tensor([1.0, -1.0])
    # Nodes 0 to 8 and 9 to 12.
    foci = found.focus.tolist()
    expected = [[4, -4, 8, 0, foci[0], -foci[0]], [10.5, -10.5, 12, -9, foci[1], -foci[1]]]
    torch.testing.assert_close(pooled(x, found), torch.tensor(expected))


def test_sorting_by_type_keeps_the_graph(graphs):
    found = packed(levels(graphs))
    laid, place = by_type(found)
    assert (laid.node_types.diff() >= 0).all()
    torch.testing.assert_close(laid.x[place], found.x)
    torch.testing.assert_close(laid.x[laid.source], found.x[found.source])
    torch.testing.assert_close(laid.x[laid.target], found.x[found.target])
    torch.testing.assert_close(laid.x[laid.focus], found.x[found.focus])
