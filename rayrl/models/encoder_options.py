"""Options of networks that read several modalities, graphs, images and vectors, and fuse them."""

from __future__ import annotations

from typing import Any, Literal, Self

import pydantic

from rayrl.config.base import Config
from rayrl.models.conv_filter import ConvFilter, ConvFilterField
from rayrl.models.sizes import LayerSize, NumLayers

Modality = Literal["image", "graph", "vector"]
GraphKind = Literal["gcn", "gat", "hgt", "simplified_hgt"]
FusionKind = Literal["concat", "single_head", "multi_head", "hierarchical", "adaptive"]

_HEADS = 8


class _NoDropout(Config):
    """What refuses dropout, with the reason."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _every_pass_is_alike(cls, values: Any) -> Any:
        if isinstance(values, dict) and "dropout" in values:
            raise ValueError(
                f"dropout = {values['dropout']!r} is not supported: the network that acted and the one that "
                "learns would give other probabilities for the same weights, and PPO's ratio would not begin "
                "at 1; leave it out"
            )
        return values


class GraphOptions(_NoDropout):
    """How the graphs of an observation are read (`modalities`)."""

    kind: GraphKind = "gcn"
    """Graph convolutions (`gcn`), attention with edge types (`gat`), the heterogeneous graph transformer
    (`hgt`), or one with the same weights for all types of nodes (`simplified_hgt`)."""
    num_layers: NumLayers = 3
    """Layers, and so the distance in edges from which nodes know of each other."""
    hidden_dim: LayerSize = 256
    """Numbers of each node, and of the graph's token."""
    num_heads: pydantic.PositiveInt | None = None
    """Heads of the attention, which divide `hidden_dim`; null for 8, and for `gcn`, which has none."""
    type_embeddings: bool = True
    """Adds a vector for the type to each node's first layer, where nodes have types."""
    edge_types: bool | None = None
    """Whether attention reads the edges' types, where edges have types; null for all kinds but `gcn`, which
    cannot."""

    @pydantic.model_validator(mode="after")
    def _the_kind_has_a_place_for_all(self) -> Self:
        if self.kind == "gcn":
            if self.num_heads is not None:
                raise ValueError(f"num_heads = {self.num_heads} has no effect with kind = gcn")
            if self.edge_types:
                raise ValueError("edge_types = true has no effect with kind = gcn; take gat")
        elif self.hidden_dim % self.heads:
            raise ValueError(f"hidden_dim = {self.hidden_dim} is no multiple of num_heads = {self.heads}")
        if self.kind == "hgt" and self.edge_types is False:
            raise ValueError("edge_types = false does not go with kind = hgt; take simplified_hgt")
        return self

    @property
    def heads(self) -> int:
        """Heads of the attention."""
        return self.num_heads or _HEADS

    @property
    def reads_edge_types(self) -> bool:
        """Whether the layers read the edges' types."""
        return self.kind != "gcn" if self.edge_types is None else self.edge_types


_FILTERS = tuple(ConvFilter(channels, (3, 3), (2, 2), "same") for channels in (32, 64, 128))


class VisualOptions(_NoDropout):
    """How the images of an observation are read (`modalities`), each by convolutions of its own."""

    conv_filters: tuple[ConvFilterField, ...] = pydantic.Field(default=_FILTERS, min_length=1)
    """One for each convolution: `[channels, kernel, stride]`; `same` or `valid` may follow."""
    output_dim: LayerSize = 256
    """Numbers of each image's token, from a linear layer over what the convolutions give."""


class StateOptions(_NoDropout):
    """How the vectors of an observation are read (`modalities`): joined, by one multilayer perceptron."""

    hidden_dims: tuple[LayerSize, ...] = (128,)
    """Sizes of the hidden layers."""
    output_dim: LayerSize = 128
    """Numbers of the vectors' token."""


class FusionOptions(_NoDropout):
    """How the tokens of the modalities come together: one for each graph and image, one for all vectors."""

    kind: FusionKind = "concat"
    """`concat` joins them; `single_head` and `multi_head` let them attend to each other first;
    `hierarchical` joins the images first, then the graphs, then the vectors; `adaptive` adds them, weighted
    by a softmax over what all of them say."""
    num_heads: pydantic.PositiveInt | None = None
    """Heads of `multi_head`, 2 or more, which divide `width`; null for 8."""
    width: LayerSize = 128
    """Numbers to which each token is brought, except with `concat`."""

    @pydantic.model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.kind != "multi_head":
            if self.num_heads is not None:
                raise ValueError(f"num_heads = {self.num_heads} has no effect with kind = {self.kind}")
        elif self.heads == 1:
            raise ValueError("num_heads = 1 is kind = single_head")
        elif self.width % self.heads:
            raise ValueError(f"width = {self.width} is no multiple of num_heads = {self.heads}")
        return self

    @property
    def heads(self) -> int:
        """Heads of the attention."""
        return 1 if self.kind != "multi_head" else self.num_heads or _HEADS
