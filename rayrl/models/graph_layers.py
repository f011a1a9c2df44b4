"""Graph layers over torch-geometric's: one layer, and what it needs of a batch's edges, made once for all.

The module imports torch-geometric, which takes seconds; only networks that read graphs import it.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from rayrl.models.encoder_options import GraphOptions
from rayrl.models.graph_space import GraphSpace
from rayrl.models.packed_graph import PackedGraph

with warnings.catch_warnings(action="ignore"):
    # torch-geometric scripts classes, which PyTorch has deprecated; and PyTorch tells once in a process that
    # its sparse matrices are in beta.
    from torch_geometric.nn import GATv2Conv, GCNConv, MessagePassing, TransformerConv
    from torch_geometric.utils import softmax, spmm

    torch.sparse_csr_tensor([0, 0], [], [], (1, 1))


class GraphLayer(nn.Module):
    """From the embeddings (n, d) of nodes to those after one exchange over their edges."""

    def __init__(self, space: GraphSpace, options: GraphOptions) -> None:
        super().__init__()

    @abstractmethod
    def edges(self, graph: PackedGraph) -> Any:
        """What all layers of this kind need of the edges."""

    @abstractmethod
    def forward(self, x: torch.Tensor, edges: Any) -> torch.Tensor:
        """The embeddings after the exchange.

        Args:
            x: (n, d).
            edges: what ``edges`` gave.
        """

    @abstractmethod
    def message_flops(self, nodes: int, edges: int) -> int:
        """Floating point operations along the edges, which are no products of matrices."""


class GCN(GraphLayer):
    """A graph convolution (Kipf and Welling 2017, arXiv:1609.02907), torch-geometric's ``GCNConv``.

        x'_i = W Σ_j x_j / √(d_i d_j) + b

    over the edges j → i and i itself; d is the number of these. Where PyTorch multiplies sparse matrices, the
    sum is one such product, and otherwise goes edge by edge.
    """

    def __init__(self, space: GraphSpace, options: GraphOptions) -> None:
        super().__init__(space, options)
        self.width = options.hidden_dim
        self.convolution = _GCNConv(self.width, self.width, normalize=False)

    def edges(self, graph: PackedGraph) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The adjacency, normalized: as a sparse matrix, or as indices (2, e + n) and weights (e + n,)."""
        source, target = _with_loops(graph)
        nodes = len(graph.x)
        degree = _counts(target, nodes)
        # 1 / √(d_i d_j)
        root = degree.rsqrt()
        weights = root[source] * root[target]
        if not multiplies_sparse(graph.x.device) or not nodes:
            return torch.stack([source, target]), weights
        order = (target * nodes + source).argsort()
        ends = torch.cat([target.new_zeros(1), degree.long().cumsum(0)])
        shape = (nodes, nodes)
        return torch.sparse_csr_tensor(
            ends, source[order], weights[order], shape, check_invariants=False
        ), None

    def forward(self, x: torch.Tensor, edges: Any) -> torch.Tensor:
        """The embeddings after the exchange."""
        convolved: torch.Tensor = self.convolution(x, *edges)
        return convolved

    def message_flops(self, nodes: int, edges: int) -> int:
        """A product and a sum for each number that goes along an edge or a loop."""
        return 2 * (edges + nodes) * self.width


class _GCNConv(GCNConv):
    """``GCNConv`` whose sparse product is in float32 under autocast, which knows no sparse matrices."""

    def message_and_aggregate(self, adj_t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            summed: torch.Tensor = spmm(adj_t, x.float(), self.aggr)
        return summed


class GAT(GraphLayer):
    """Attention over neighbours and the node itself (Brody et al. 2022, arXiv:2105.14491), torch-geometric's
    ``GATv2Conv``; an edge's type, a loop's among them, adds a vector of its own to what it is weighed by."""

    def __init__(self, space: GraphSpace, options: GraphOptions) -> None:
        super().__init__(space, options)
        width = self.width = options.hidden_dim
        self.edge_types = space.edge_types if options.reads_edge_types else 0
        self.convolution = GATv2Conv(
            width,
            width // options.heads,
            heads=options.heads,
            add_self_loops=False,
            edge_dim=self.edge_types + 1 if self.edge_types else None,
        )

    def edges(self, graph: PackedGraph) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Indices (2, e + n), and one-hot types (e + n, t + 1), where edges have types."""
        index = torch.stack(_with_loops(graph))
        if not self.edge_types:
            return index, None
        assert graph.edge_types is not None
        loops = graph.edge_types.new_full((len(graph.x),), self.edge_types)
        types = torch.cat([graph.edge_types, loops])
        return index, functional.one_hot(types, self.edge_types + 1).float()

    def forward(self, x: torch.Tensor, edges: Any) -> torch.Tensor:
        """The embeddings after the exchange."""
        convolved: torch.Tensor = self.convolution(x, *edges)
        return convolved

    def message_flops(self, nodes: int, edges: int) -> int:
        """Sums of source, target and type, the attention's product with them, and the weighted sum."""
        return (7 if self.edge_types else 6) * (edges + nodes) * self.width


class SimplifiedHGT(GraphLayer):
    """Attention over neighbours by keys and queries, alike for all types of nodes (Shi et al. 2021,
    arXiv:2009.03509), torch-geometric's ``TransformerConv``; an edge's type adds to key and value."""

    def __init__(self, space: GraphSpace, options: GraphOptions) -> None:
        super().__init__(space, options)
        width = self.width = options.hidden_dim
        self.edge_types = space.edge_types if options.reads_edge_types else 0
        self.convolution = TransformerConv(
            width, width // options.heads, heads=options.heads, edge_dim=self.edge_types or None
        )

    def edges(self, graph: PackedGraph) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Indices (2, e), and one-hot types (e, t), where edges have types."""
        index = torch.stack([graph.source, graph.target])
        if not self.edge_types:
            return index, None
        assert graph.edge_types is not None
        return index, functional.one_hot(graph.edge_types, self.edge_types).float()

    def forward(self, x: torch.Tensor, edges: Any) -> torch.Tensor:
        """The embeddings after the exchange."""
        convolved: torch.Tensor = self.convolution(x, *edges)
        return convolved

    def message_flops(self, nodes: int, edges: int) -> int:
        """Key times query and the weighted sum, and a type's vector for key and value."""
        return (6 if self.edge_types else 4) * edges * self.width


class HGT(GraphLayer):
    """The heterogeneous graph transformer (Hu et al. 2020, arXiv:2003.01332).

        a_ji = (k_j W_φ · q_i) μ_τφτ' / √d,  out_i = Σ_j softmax_j(a_ji) v_j V_φ
        x'_i = σ(s_τ') A_τ' gelu(out_i) + (1 - σ(s_τ')) x_i

    Keys k, queries q, values v and A are linear in the embedding, by the type τ of the node; W and V are by
    the type φ of the edge, for each head; μ is a number for each triple of types and head. torch-geometric's
    ``HGTConv`` computes the same, with W and V for each triple; this layer gives it the same numbers, and
    takes all types at once (docs/decisions/0020).

    Nodes have to lie sorted by type.
    """

    def __init__(self, space: GraphSpace, options: GraphOptions) -> None:
        super().__init__(space, options)
        width, heads = options.hidden_dim, options.heads
        self.width, self.heads = width, heads
        self.node_types, self.edge_types = max(space.node_types, 1), max(space.edge_types, 1)
        self.key_query_value = TypedLinear(self.node_types, width, 3 * width)
        self.out = TypedLinear(self.node_types, width, width)
        relations = self.edge_types, heads, width // heads, width // heads
        self.key_relation = nn.Parameter(torch.empty(relations))
        self.value_relation = nn.Parameter(torch.empty(relations))
        for relation in (self.key_relation, self.value_relation):
            for matrix in relation.detach().flatten(0, 1):
                nn.init.orthogonal_(matrix)
        self.prior = nn.Parameter(torch.ones(self.node_types, self.edge_types, self.node_types, heads))
        self.skip = nn.Parameter(torch.ones(self.node_types))
        self.exchange = _TypedAttention(heads)

    def edges(self, graph: PackedGraph) -> tuple[Any, ...]:
        """Indices into (t n) sources by edge type and n targets, triples of types, and nodes of each type."""
        nodes = len(graph.x)
        types = graph.target.new_zeros(nodes) if graph.node_types is None else graph.node_types
        relation = torch.zeros_like(graph.source) if graph.edge_types is None else graph.edge_types
        triple = types[graph.source] * self.edge_types + relation
        triple = triple * self.node_types + types[graph.target]
        index = torch.stack([relation * nodes + graph.source, graph.target])
        sizes: list[int] = torch.bincount(types, minlength=self.node_types).tolist()
        return index, triple, types, sizes

    def forward(self, x: torch.Tensor, edges: Any) -> torch.Tensor:
        """The embeddings after the exchange."""
        index, triple, types, sizes = edges
        nodes, depth = len(x), self.width // self.heads
        key, query, value = self.key_query_value(x, sizes).view(nodes, 3, self.heads, depth).unbind(1)
        key, value = (
            self._by_relation(rows, matrices)
            for rows, matrices in ((key, self.key_relation), (value, self.value_relation))
        )
        prior = self.prior.flatten(0, 2).index_select(0, triple) / math.sqrt(depth)
        out = self.exchange(index, key, query, value, prior, nodes)
        share = torch.sigmoid(self.skip).index_select(0, types).unsqueeze(1)
        return torch.lerp(x, self.out(functional.gelu(out), sizes).to(x.dtype), share.to(x.dtype))

    def _by_relation(self, rows: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        """(n, heads, depth) by the matrices of each edge type: (t n, heads, depth)."""
        product = torch.einsum("nhd,thde->tnhe", rows, matrices)
        return product.reshape(-1, self.heads, matrices.shape[-1])

    def message_flops(self, nodes: int, edges: int) -> int:
        """Key times query, and the weighted sum."""
        return 4 * edges * self.width


class _TypedAttention(MessagePassing):
    """Values of sources, weighted by a softmax over each target's edges."""

    def __init__(self, heads: int) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.heads = heads

    def forward(
        self,
        index: torch.Tensor,
        key: torch.Tensor,
        query: torch.Tensor,
        value: torch.Tensor,
        prior: torch.Tensor,
        nodes: int,
    ) -> torch.Tensor:
        """(nodes, heads · depth), of keys and values (s, heads, depth) and queries (nodes, heads, depth)."""
        size = (len(key), nodes)
        summed: torch.Tensor = self.propagate(index, k=key, q=query, v=value, prior=prior, size=size)
        return summed.flatten(1)

    def message(
        self,
        k_j: torch.Tensor,
        q_i: torch.Tensor,
        v_j: torch.Tensor,
        prior: torch.Tensor,
        index: torch.Tensor,
        size_i: int | None,
    ) -> torch.Tensor:
        """What goes along each edge."""
        share = softmax((q_i * k_j).sum(-1) * prior, index, num_nodes=size_i)
        weighted: torch.Tensor = v_j * share.unsqueeze(-1)
        return weighted


class TypedLinear(nn.Module):
    """A linear layer for each type, of rows that lie sorted by type."""

    def __init__(self, types: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(types, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(types, outputs))
        for matrix in self.weight.detach():
            nn.init.orthogonal_(matrix)

    def forward(self, x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        """(n, outputs) of (n, inputs); ``sizes`` are the rows of each type."""
        groups = zip(x.split_with_sizes(sizes), self.weight, self.bias, strict=True)
        return torch.cat([torch.addmm(bias, rows, weight) for rows, weight, bias in groups])


LAYERS: dict[str, type[GraphLayer]] = {"gcn": GCN, "gat": GAT, "hgt": HGT, "simplified_hgt": SimplifiedHGT}


def multiplies_sparse(device: torch.device) -> bool:
    """Whether PyTorch multiplies sparse matrices there: on CPUs, only where it was built with MKL."""
    built: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return device.type == "cuda" or (device.type == "cpu" and built)


def _with_loops(graph: PackedGraph) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources and targets (e + n,): the edges, then an edge from each node to itself."""
    loops = torch.arange(len(graph.x), device=graph.source.device)
    return torch.cat([graph.source, loops]), torch.cat([graph.target, loops])


def _counts(index: torch.Tensor, size: int) -> torch.Tensor:
    """How often each of ``size`` numbers is there, in float32."""
    ones = torch.ones(len(index), device=index.device)
    return torch.zeros(size, device=index.device).index_add_(0, index, ones)
