"""Graph encoders: forward and backward over the levels of a minibatch, beside bare layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from rayrl.models.architectures import model_config
from rayrl.models.graph_encoder import GraphEncoder, by_type
from rayrl.models.graph_space import GraphSpace
from rayrl.models.model_config import ModelConfig
from rayrl.models.observations import to_parts
from rayrl.models.packed_graph import PackedGraph, pack
from rayrl.rollout.vector_env import make_vector_env
from tests.benchmarks.contest import Contest, timed

GRAPHS = 128
FEW_GRAPHS = 8
SMALL = {"num_layers": 2, "hidden_dim": 64, "num_heads": 4}
"""Sizes at which ``HGTConv`` comes to an end: at those of the other rows, one pass takes it minutes."""
LEVELS = {"categories": {"simple": 1, "medium": 1}, "observations": ["graph"]}
GRAPH = "obs/graph"


def contest(name: str, count: int = GRAPHS, **options: int) -> Contest:
    """The encoder packs padded observations first; the bare loop has them packed."""
    parts, space = levels(count)
    config = ModelConfig.from_rllib(model_config(name, {"graph": options}))
    encoder = GraphEncoder(space, config)
    packed = pack(parts, GRAPH, space)

    def rayrl() -> None:
        encoder.zero_grad()
        encoder(pack(parts, GRAPH, space)).sum().backward()

    bare = hgt(packed, space, config) if config.graph.kind == "hgt" else layers(packed, space, config)
    return Contest(
        unit="graphs/s",
        rayrl=timed(count, rayrl),
        limit=timed(count, bare),
        peers={},
        goals={"limit": 1 / 1.3},
    )


ROWS = {f"models/{name}": partial(contest, name) for name in ("gcn", "gat", "simplified_hgt")} | {
    "models/full_hgt-small": partial(contest, "full_hgt", FEW_GRAPHS, **SMALL)
}


def levels(count: int) -> tuple[dict[str, torch.Tensor], GraphSpace]:
    """What as many environments show at first."""
    env = make_vector_env("rayrl/MineMaze-v0", LEVELS, num_envs=count)
    observations, _ = env.reset(seed=0)
    parts = {name: torch.from_numpy(part.copy()) for name, part in to_parts(observations).items()}
    space = GraphSpace.of(env.single_observation_space["graph"], GRAPH)
    env.close()
    return parts, space


def layers(graph: PackedGraph, space: GraphSpace, config: ModelConfig) -> Callable[[], None]:
    """The same torch-geometric layers with their own defaults, one after the other with ReLU."""
    from torch_geometric.nn import GATv2Conv, GCNConv, TransformerConv

    options = config.graph
    width, heads = options.hidden_dim, options.heads
    kinds = {
        "gcn": lambda: GCNConv(width, width),
        "gat": lambda: GATv2Conv(width, width // heads, heads, edge_dim=space.edge_types),
        "simplified_hgt": lambda: TransformerConv(width, width // heads, heads, edge_dim=space.edge_types),
    }
    first = nn.Linear(space.features, width)
    convolutions = [kinds[options.kind]() for _ in range(options.num_layers)]
    index = torch.stack([graph.source, graph.target])
    attributes = () if options.kind == "gcn" else (torch.eye(space.edge_types)[graph.edge_types],)
    modules = nn.ModuleList([first, *convolutions])

    def run() -> None:
        modules.zero_grad()
        x = first(graph.x).relu()
        for convolution in convolutions:
            x = convolution(x, index, *attributes).relu()
        x.sum().backward()

    return run


def hgt(packed: PackedGraph, space: GraphSpace, config: ModelConfig) -> Callable[[], None]:
    """``HGTConv``, with the relations that the levels have."""
    from torch_geometric.nn import HGTConv

    options = config.graph
    graph, _ = by_type(packed)
    types, names = graph.node_types, [str(t) for t in range(space.node_types)]
    assert types is not None
    assert graph.edge_types is not None
    ends = torch.stack([types[graph.source], graph.edge_types, types[graph.target]])
    first = torch.searchsorted(types, torch.arange(space.node_types + 1))
    edges = {}
    for s, e, t in ends.unique(dim=1).T.tolist():
        taken = (ends == torch.tensor([s, e, t])[:, None]).all(0)
        index = torch.stack([graph.source[taken] - first[s], graph.target[taken] - first[t]])
        edges[str(s), str(e), str(t)] = index
    there = sorted({name for relation in edges for name in (relation[0], relation[2])})
    inputs = nn.Linear(space.features, options.hidden_dim)
    convolutions = [
        HGTConv(options.hidden_dim, options.hidden_dim, (there, list(edges)), heads=options.heads)
        for _ in range(options.num_layers)
    ]
    modules = nn.ModuleList([inputs, *convolutions])

    def run() -> None:
        modules.zero_grad()
        x = inputs(graph.x).relu()
        rows = {name: x[first[int(name)] : first[int(name) + 1]] for name in names if name in there}
        for convolution in convolutions:
            rows = {
                name: each if each is not None else rows[name]
                for name, each in convolution(rows, edges).items()
            }
        torch.cat(list(rows.values())).sum().backward()

    return run
