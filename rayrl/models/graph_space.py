"""The form of a graph in an observation: arrays of a fixed size, with masks for what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import gymnasium as gym
import numpy as np

from rayrl.errors import SpaceError

REQUIRED = ("node_features", "node_mask", "edge_index", "edge_mask")
OPTIONAL = ("node_types", "edge_types", "node_state", "focus")


def is_graph(space: gym.Space) -> bool:
    """Whether a part of an observation is a graph: a Dict of at least the arrays that every graph has."""
    return isinstance(space, gym.spaces.Dict) and all(name in space.spaces for name in REQUIRED)


@dataclass(frozen=True, slots=True)
class GraphSpace:
    """How large a graph may be, and what its nodes and edges say.

    An observation holds, below the graph's name, ``node_features`` (N, F), ``node_mask`` (N,), ``edge_index``
    (2, E) from source to target, and ``edge_mask`` (E,). It may hold ``node_state`` (N, D), more numbers of
    each node; ``node_types`` (N,) and ``edge_types`` (E,), counted from 0; and ``focus`` (N,), 1 at nodes
    whose embeddings are to be seen on their own. Where a mask is 0, nothing is read.

    Attributes:
        nodes: N, the most nodes.
        edges: E, the most edges.
        features: F + D, numbers of a node.
        node_types: how many there are; 0 where nodes have none.
        edge_types: how many there are; 0 where edges have none.
        state: whether there is ``node_state``.
        focus: whether there is ``focus``.
    """

    nodes: int
    edges: int
    features: int
    node_types: int
    edge_types: int
    state: bool
    focus: bool

    @classmethod
    def of(cls, space: gym.spaces.Dict, name: str) -> Self:
        """Reads a graph's form from its space.

        Args:
            space: of the graph.
            name: its name, for errors.

        Raises:
            SpaceError: an array is missing, unknown, or of another shape or element type than it must have.
        """
        arrays = {key: _array(space.spaces[key], f"{name}/{key}") for key in space.spaces}
        if unknown := arrays.keys() - {*REQUIRED, *OPTIONAL}:
            raise SpaceError(
                f"a graph has no {', '.join(sorted(unknown))}",
                where=name,
                remedy=f"its arrays are {', '.join(REQUIRED)}, and may be {', '.join(OPTIONAL)}",
            )
        nodes, edges = arrays["node_mask"].shape[:1], arrays["edge_mask"].shape[:1]
        numbers = arrays["node_features"].shape[1:]
        due = {
            "node_features": (*nodes, *numbers[:1]),
            "node_mask": nodes,
            "edge_index": (2, *edges),
            "edge_mask": edges,
            "node_types": nodes,
            "edge_types": edges,
            "node_state": (*nodes, *(arrays["node_state"].shape[1:2] if "node_state" in arrays else ())),
            "focus": nodes,
        }
        for key, box in arrays.items():
            if box.shape != due[key] or len(due[key]) != _AXES[key]:
                raise SpaceError(f"has shape {box.shape}", where=f"{name}/{key}", remedy=_SHAPES)
            if key not in _NUMBERS and not np.issubdtype(box.dtype, np.integer) and box.dtype != np.bool_:
                raise SpaceError(f"is of {box.dtype}", where=f"{name}/{key}", remedy="give integers")
        state = arrays["node_state"].shape[1] if "node_state" in arrays else 0
        return cls(
            nodes=nodes[0],
            edges=edges[0],
            features=numbers[0] + state,
            node_types=_count(arrays.get("node_types")),
            edge_types=_count(arrays.get("edge_types")),
            state="node_state" in arrays,
            focus="focus" in arrays,
        )


_NUMBERS = ("node_features", "node_state")
_AXES = {key: 2 if key in (*_NUMBERS, "edge_index") else 1 for key in (*REQUIRED, *OPTIONAL)}
_SHAPES = (
    "with N nodes and E edges: node_features (N, F), node_state (N, D), edge_index (2, E), node_mask, "
    "node_types and focus (N,), edge_mask and edge_types (E,)"
)


def _array(space: gym.Space, where: str) -> gym.spaces.Box:
    if not isinstance(space, gym.spaces.Box):
        raise SpaceError(f"an array of a graph is a Box, not {space}", where=where)
    return space


def _count(types: gym.spaces.Box | None) -> int:
    return 0 if types is None else int(types.high.max(initial=0)) + 1
