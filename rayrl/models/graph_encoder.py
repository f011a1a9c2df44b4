"""From the graphs of a batch to one token each."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn
from torch.nn import functional

from rayrl.models.encoder_options import GraphOptions
from rayrl.models.graph_layers import LAYERS
from rayrl.models.graph_space import GraphSpace
from rayrl.models.model_config import ModelConfig
from rayrl.models.networks import ACTIVATIONS, Initializer
from rayrl.models.packed_graph import PackedGraph


class GraphEncoder(nn.Module):
    """Layers over nodes, each added to what was before it, and a readout over each graph.

        x = f(W [features, one-hot type]),  x = x + f(layer(norm(x))) …,  token = f(U [mean, max, focus])

    over the nodes of each graph; where a graph has no node, or none in focus, that part is 0. ``hgt`` has a
    residual of its own, weighed by type, and its layers are x = norm(layer(x)).

    Attributes:
        output_size: numbers of a token.
    """

    def __init__(self, space: GraphSpace, config: ModelConfig) -> None:
        super().__init__()
        options: GraphOptions = config.graph
        width = self.output_size = options.hidden_dim
        initializer = Initializer.of(config, "fcnet")
        self._types = space.node_types if options.type_embeddings else 0
        self.inputs = nn.Linear(space.features + self._types, width)
        initializer(self.inputs, 2**0.5)
        self._layers = [LAYERS[options.kind](space, options) for _ in range(options.num_layers)]
        self.layers = nn.ModuleList(self._layers)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(options.num_layers))
        self.readout = nn.Linear((3 if space.focus else 2) * width, width)
        initializer(self.readout, 2**0.5)
        self._activation = ACTIVATIONS[config.fcnet_activation] or nn.Identity()
        self._sorted = options.kind == "hgt"

    def forward(self, graph: PackedGraph) -> torch.Tensor:
        """Tokens (B, ``output_size``)."""
        laid, back = by_type(graph) if self._sorted else (graph, None)
        x = laid.x
        if self._types:
            assert laid.node_types is not None
            x = torch.cat([x, functional.one_hot(laid.node_types, self._types).to(x.dtype)], dim=1)
        x = self._activation(self.inputs(x))
        edges = self._layers[0].edges(laid)
        for layer, norm in zip(self._layers, self.norms, strict=True):
            x = norm(layer(x, edges)) if self._sorted else x + self._activation(layer(norm(x), edges))
        if back is not None:
            x = x.index_select(0, back)
        token: torch.Tensor = self._activation(self.readout(pooled(x, graph)))
        return token

    def message_flops(self, nodes: int, edges: int) -> int:
        """Floating point operations along the edges of a graph, which are no products of matrices."""
        return sum(layer.message_flops(nodes, edges) for layer in self._layers)


def by_type(graph: PackedGraph) -> tuple[PackedGraph, torch.Tensor | None]:
    """The graph with its nodes sorted by type, and where each of its nodes lies then; None where it is."""
    if graph.node_types is None:
        return graph, None
    types, order = graph.node_types.sort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    laid = dataclasses.replace(
        graph,
        x=graph.x.index_select(0, order),
        graph=graph.graph.index_select(0, order),
        source=place.index_select(0, graph.source),
        target=place.index_select(0, graph.target),
        node_types=types,
        focus=None if graph.focus is None else place.index_select(0, graph.focus),
    )
    return laid, place


def pooled(x: torch.Tensor, graph: PackedGraph) -> torch.Tensor:
    """(B, 2 d) of embeddings (n, d): their mean and maximum over each graph; (B, 3 d) with a focus, whose
    mean is the third; where there is nothing, 0."""
    counts = graph.counts.unsqueeze(1)
    mean = x.new_zeros(len(graph), x.shape[1]).index_add(0, graph.graph, x) / counts.clamp(min=1)
    largest = torch.segment_reduce(x, "max", lengths=graph.counts, unsafe=True).where(counts > 0, 0)
    if graph.focus is None:
        return torch.cat([mean, largest], dim=1)
    of = graph.graph.index_select(0, graph.focus)
    seen = x.new_zeros(len(graph), x.shape[1]).index_add(0, of, x.index_select(0, graph.focus))
    number = graph.counts.new_zeros(len(graph)).index_add_(0, of, torch.ones_like(of)).unsqueeze(1)
    return torch.cat([mean, largest, seen / number.clamp(min=1)], dim=1)
