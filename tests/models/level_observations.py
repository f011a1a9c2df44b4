"""Observations of small levels, as an environment of several modalities gives them, and their space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from rayrl.models.architectures import architecture

FEATURES, STATE, NODE_TYPES, EDGE_TYPES = 4, 3, 6, 4
ACTION = spaces.Discrete(5)


@dataclass(frozen=True)
class Graph:
    """A graph without padding."""

    node_features: Any
    node_types: Any
    node_state: Any
    focus: Any
    edge_index: Any
    edge_types: Any

    def permuted(self, rng: np.random.Generator) -> Graph:
        """The same graph, its nodes and edges in another order."""
        nodes, edges = rng.permutation(len(self.node_types)), rng.permutation(len(self.edge_types))
        place = np.argsort(nodes)
        return Graph(
            self.node_features[nodes],
            self.node_types[nodes],
            self.node_state[nodes],
            self.focus[nodes],
            place[self.edge_index[:, edges]],
            self.edge_types[edges],
        )

    def padded(self, nodes: int, edges: int, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """The arrays of an observation; padding is 0, or with ``rng`` anything."""
        n, e = len(self.node_types), len(self.edge_types)
        form = graph_space(nodes, edges)
        arrays = {name: np.zeros(box.shape, box.dtype) for name, box in form.spaces.items()}
        if rng is not None:
            form.seed(int(rng.integers(2**31)))
            arrays = dict(form.sample())
        for name, there in (("node_mask", n), ("edge_mask", e)):
            arrays[name] = (np.arange(len(arrays[name])) < there).astype(np.uint8)
        for name in ("node_features", "node_types", "node_state", "focus"):
            arrays[name][:n] = getattr(self, name)
        arrays["edge_index"][:, :e] = self.edge_index
        arrays["edge_types"][:e] = self.edge_types
        return arrays


def graph(rng: np.random.Generator, nodes: int, edges: int) -> Graph:
    """A random graph with the agent at one of its nodes."""
    return Graph(
        rng.uniform(-1, 1, (nodes, FEATURES)).astype(np.float32),
        rng.integers(0, NODE_TYPES, nodes),
        rng.uniform(0, 1, (nodes, STATE)).astype(np.float32),
        np.eye(nodes, dtype=np.uint8)[rng.integers(nodes)],
        rng.integers(0, nodes, (2, edges)),
        rng.integers(0, EDGE_TYPES, edges),
    )


def graph_space(nodes: int, edges: int) -> spaces.Dict:
    """The space of graphs up to a size."""
    return spaces.Dict(
        node_features=spaces.Box(-1, 1, (nodes, FEATURES)),
        node_types=spaces.Box(0, NODE_TYPES - 1, (nodes,), np.uint8),
        node_state=spaces.Box(0, 1, (nodes, STATE)),
        node_mask=spaces.Box(0, 1, (nodes,), np.uint8),
        focus=spaces.Box(0, 1, (nodes,), np.uint8),
        edge_index=spaces.Box(0, nodes - 1, (2, edges), np.int32),
        edge_types=spaces.Box(0, EDGE_TYPES - 1, (edges,), np.uint8),
        edge_mask=spaces.Box(0, 1, (edges,), np.uint8),
    )


def level_space(nodes: int = 12, edges: int = 40) -> spaces.Dict:
    """The space of all modalities."""
    return spaces.Dict(
        game_state=spaces.Box(-1, 1, (5,)),
        reachability=spaces.Box(0, 1, (8,)),
        player_frame=spaces.Box(0, 255, (5, 5, 1), np.uint8),
        global_view=spaces.Box(0, 255, (9, 7, 1), np.uint8),
        graph=graph_space(nodes, edges),
        action_mask=spaces.Box(0, 1, (5,), np.int8),
    )


def levels(graphs: list[Graph], nodes: int = 12, edges: int = 40, seed: int = 0, noise: bool = False) -> Any:
    """Parts (B, ...) of observations with these graphs; with ``noise``, padding is anything."""
    rng = np.random.default_rng(seed)
    count = len(graphs)
    parts = {
        "obs/game_state": rng.uniform(-1, 1, (count, 5)).astype(np.float32),
        "obs/reachability": rng.uniform(0, 1, (count, 8)).astype(np.float32),
        "obs/player_frame": rng.integers(0, 256, (count, 5, 5, 1)).astype(np.uint8),
        "obs/global_view": rng.integers(0, 256, (count, 9, 7, 1)).astype(np.uint8),
        "obs/action_mask": np.ones((count, 5), np.int8),
    }
    padded = [each.padded(nodes, edges, rng if noise else None) for each in graphs]
    for name in padded[0]:
        parts[f"obs/graph/{name}"] = np.stack([each[name] for each in padded])
    return {name: torch.from_numpy(part) for name, part in parts.items()}


def row(parts: Any, index: int) -> Any:
    """One observation of a batch, as a batch."""
    return {name: part[index : index + 1] for name, part in parts.items()}


def without(graph: Graph, **arrays: Any) -> Graph:
    """The graph with some of its arrays replaced."""
    return replace(graph, **arrays)


def used_by(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Of some options, those that have an effect on an architecture that reads modalities."""
    of = architecture(name)()
    unused = {"visual": "image" not in of.modalities.values(), "fusion": of.fusion.kind == "concat"}
    return {key: value for key, value in options.items() if not unused.get(key)}
