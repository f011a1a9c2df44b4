"""Layers against torch-geometric's, as anybody would call them."""

import numpy as np
import pytest
import torch

from rayrl.models import graph_layers
from rayrl.models.encoder_options import GraphOptions
from rayrl.models.graph_encoder import by_type
from rayrl.models.graph_layers import LAYERS
from rayrl.models.graph_space import GraphSpace
from rayrl.models.packed_graph import pack
from tests.models.level_observations import EDGE_TYPES, NODE_TYPES, graph, graph_space, levels

WIDTH, HEADS = 16, 4
SPACE = GraphSpace.of(graph_space(12, 40), "obs/graph")


@pytest.fixture
def packed():
    rng = np.random.default_rng(5)
    # No node leads to itself: torch-geometric would take that edge for the loop.
    some = [graph(rng, nodes, edges) for nodes, edges in ((9, 30), (4, 7), (12, 40))]
    for each in some:
        loops = each.edge_index[0] == each.edge_index[1]
        each.edge_index[1, loops] = (each.edge_index[1, loops] + 1) % len(each.node_types)
    return pack(levels(some), "obs/graph", SPACE)


def layer_of(kind):
    torch.manual_seed(1)
    heads = None if kind == "gcn" else HEADS
    layer = LAYERS[kind](SPACE, GraphOptions(kind=kind, hidden_dim=WIDTH, num_heads=heads))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return layer


def compared(layer, graph, expected_of, x):
    """Outputs and the gradients of inputs and parameters, of the layer and of ``expected_of(x)``."""
    results = []
    for given in (lambda rows: layer(rows, layer.edges(graph)), expected_of):
        rows = x.clone().requires_grad_()
        out = given(rows)
        (gradient,) = torch.autograd.grad((out * out.detach().cos()).sum(), rows)
        results.append((out.detach(), gradient))
    for own, expected in zip(*results, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sparse", [True, False])
def test_gcn_is_torch_geometrics_with_its_own_normalization(packed, sparse, monkeypatch):
    from torch_geometric.nn import GCNConv

    if not sparse:
        monkeypatch.setattr(graph_layers, "multiplies_sparse", lambda device: False)
    layer, reference = layer_of("gcn"), GCNConv(WIDTH, WIDTH)
    reference.load_state_dict(layer.convolution.state_dict())
    index = torch.stack([packed.source, packed.target])
    compared(layer, packed, lambda x: reference(x, index), torch.randn(len(packed.x), WIDTH))


def test_gat_is_torch_geometrics_with_loops_of_a_type_of_their_own(packed):
    layer = layer_of("gat")
    nodes = len(packed.x)
    types = torch.cat([packed.edge_types, torch.full((nodes,), EDGE_TYPES)])
    loops = torch.arange(nodes)
    index = torch.stack([torch.cat([packed.source, loops]), torch.cat([packed.target, loops])])
    attributes = torch.eye(EDGE_TYPES + 1)[types]
    compared(layer, packed, lambda x: layer.convolution(x, index, attributes), torch.randn(nodes, WIDTH))


def test_hgt_is_torch_geometrics_with_one_matrix_for_each_type_of_edge(packed):
    """``HGTConv`` keeps apart what the types of both ends are, in as many relations."""
    from torch_geometric.nn import HGTConv

    layer = layer_of("hgt")
    graph, _ = by_type(packed)
    nodes = [str(t) for t in range(NODE_TYPES)]
    relations = [(s, str(e), t) for s in nodes for e in range(EDGE_TYPES) for t in nodes]
    reference = HGTConv(WIDTH, WIDTH, (nodes, relations), heads=HEADS)
    with torch.no_grad():
        for t in range(NODE_TYPES):
            reference.kqv_lin.lins[str(t)].weight.copy_(layer.key_query_value.weight[t].T)
            reference.kqv_lin.lins[str(t)].bias.copy_(layer.key_query_value.bias[t])
            reference.out_lin.lins[str(t)].weight.copy_(layer.out.weight[t].T)
            reference.out_lin.lins[str(t)].bias.copy_(layer.out.bias[t])
            reference.skip[str(t)].copy_(layer.skip[t : t + 1])
        for i, (s, e, t) in enumerate(relations):
            reference.p_rel["__".join((s, e, t))].copy_(layer.prior[int(s), int(e), int(t)])
            for head in range(HEADS):
                # torch-geometric numbers head by head
                at = head * len(relations) + i
                reference.k_rel.weight[at].copy_(layer.key_relation[int(e), head])
                reference.v_rel.weight[at].copy_(layer.value_relation[int(e), head])
    first = torch.searchsorted(graph.node_types, torch.arange(NODE_TYPES + 1))
    edges = {}
    for s, e, t in relations:
        taken = (
            (graph.node_types[graph.source] == int(s))
            & (graph.edge_types == int(e))
            & (graph.node_types[graph.target] == int(t))
        )
        edges[s, e, t] = torch.stack(
            [graph.source[taken] - first[int(s)], graph.target[taken] - first[int(t)]]
        )

    def expected(x):
        rows = {str(t): x[first[t] : first[t + 1]] for t in range(NODE_TYPES)}
        return torch.cat([reference(rows, edges)[name] for name in nodes])

    compared(layer, graph, expected, torch.randn(len(graph.x), WIDTH))


@pytest.mark.parametrize("kind", LAYERS)
def test_in_lower_precision_it_is_nearly_the_same(packed, kind):
    layer = layer_of(kind)
    graph, _ = by_type(packed)
    x = torch.randn(len(graph.x), WIDTH)
    exact = layer(x, layer.edges(graph))
    with torch.autocast("cpu", torch.bfloat16):
        rough = layer(x, layer.edges(graph))
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1)
