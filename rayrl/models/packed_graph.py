"""The graphs of a batch as one graph of disjoint parts, without what masks leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from rayrl.errors import DataError
from rayrl.models.graph_space import GraphSpace


@dataclass(frozen=True, slots=True)
class PackedGraph:
    """The n nodes and e edges that B observations really have.

    Nodes lie graph after graph, each graph's in the order of its observation; so do edges.

    Args:
        x: float32 (n, F), the numbers of each node.
        graph: int64 (n,), which of the B graphs each node is of; it never falls.
        counts: int64 (B,), nodes of each graph.
        source: int64 (e,), the node that each edge comes from.
        target: int64 (e,), the node that it goes to.
        node_types: int64 (n,), None where nodes have none.
        edge_types: int64 (e,), None where edges have none.
        focus: int64 (k,), the nodes in focus; None where the observation knows no focus.
    """

    x: torch.Tensor
    graph: torch.Tensor
    counts: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    node_types: torch.Tensor | None
    edge_types: torch.Tensor | None
    focus: torch.Tensor | None

    def __len__(self) -> int:
        """B, the number of graphs."""
        return len(self.counts)


Seen = Sequence[torch.Tensor | PackedGraph]
"""What networks see of observations beside the flat vector: images (B, channels, height, width), and after
them graphs."""


def pack(parts: Mapping[str, torch.Tensor], name: str, space: GraphSpace) -> PackedGraph:
    """Packs the graphs of a batch; costs follow their real sizes, but for one look at the masks.

    Three numbers are read back from the device: how many nodes, edges and nodes in focus there are.

    Args:
        parts: of the observations, each (B, ...).
        name: of the graph; its arrays are ``name/node_features`` and so on.
        space: its form.

    Raises:
        DataError: an edge names a node that is not there, or a node or an edge is of a type that the space
            does not have. They are looked for on the CPU, where rollouts run; elsewhere, where looking would
            stall the device, such an edge is left out, and such a type is taken for the nearest.
    """
    mask = parts[f"{name}/node_mask"].reshape(-1) != 0
    nodes = mask.nonzero().squeeze(1)
    # where a node of the padded arrays lies in the packed ones, if it is there
    position = mask.cumsum(0) - 1
    features = _rows(parts[f"{name}/node_features"], nodes)
    if space.state:
        features = torch.cat([features, _rows(parts[f"{name}/node_state"], nodes)], dim=1)

    edge_mask = parts[f"{name}/edge_mask"].reshape(-1) != 0
    index = parts[f"{name}/edge_index"]
    if not index.is_cpu:
        edge_mask &= _both_ends(index, mask, space).reshape(-1)
    edges = edge_mask.nonzero().squeeze(1)
    # an edge's graph begins at this node of the padded arrays
    first = edges.div(space.edges, rounding_mode="floor") * space.nodes
    source, target = (index[:, end].reshape(-1)[edges].long() for end in (0, 1))
    if index.is_cpu:
        _check(source, target, first, mask, space, name)
    focus = parts.get(f"{name}/focus")
    return PackedGraph(
        x=features,
        graph=nodes.div(space.nodes, rounding_mode="floor"),
        counts=parts[f"{name}/node_mask"].ne(0).sum(1),
        source=position[first + source],
        target=position[first + target],
        node_types=_types(parts, f"{name}/node_types", nodes, space.node_types),
        edge_types=_types(parts, f"{name}/edge_types", edges, space.edge_types),
        focus=None if focus is None else position[((focus.reshape(-1) != 0) & mask).nonzero().squeeze(1)],
    )


def _rows(part: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Rows of (B, N, F) as of (B N, F), in float32."""
    return part.reshape(-1, part.shape[2]).index_select(0, rows).float()


def _types(
    parts: Mapping[str, torch.Tensor], name: str, rows: torch.Tensor, count: int
) -> torch.Tensor | None:
    """Those of the nodes or edges that are there, each in [0, count); None where they have none."""
    if name not in parts:
        return None
    types = parts[name].reshape(-1).index_select(0, rows).long()
    if not types.is_cpu:
        return types.clamp(0, count - 1)
    outside = (types < 0) | (types >= count)
    if bool(outside.any()):
        raise DataError(
            f"there is no type {int(types[outside][0])}", where=name, remedy=f"types: 0 to {count - 1}"
        )
    return types


def _both_ends(index: torch.Tensor, mask: torch.Tensor, space: GraphSpace) -> torch.Tensor:
    """Whether both ends of each edge (B, E) are nodes that are there."""
    inside = ((index >= 0) & (index < space.nodes)).all(1)
    first = torch.arange(len(index), device=index.device)[:, None, None] * space.nodes
    return inside & mask[first + index.long().clamp(0, space.nodes - 1)].all(1)


def _check(
    source: torch.Tensor,
    target: torch.Tensor,
    first: torch.Tensor,
    mask: torch.Tensor,
    space: GraphSpace,
    name: str,
) -> None:
    for ends in (source, target):
        outside = (ends < 0) | (ends >= space.nodes)
        if bool(outside.any()):
            there, end = f"0 to {space.nodes - 1}", int(ends[outside][0])
        elif not bool((seen := mask[first + ends]).all()):
            there, end = "those of node_mask", int(ends[~seen][0])
        else:
            continue
        raise DataError(f"an edge names the node {end}", where=f"{name}/edge_index", remedy=f"nodes: {there}")
