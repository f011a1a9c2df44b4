"""An encoder of several modalities: each becomes a token, and the tokens come together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from rayrl.errors import ConfigError
from rayrl.models.fusion import FUSIONS
from rayrl.models.model_config import ModelConfig
from rayrl.models.networks import ACTIVATIONS, CNN, MLP, Encoder, Initializer
from rayrl.models.observations import ObservationLayout
from rayrl.models.packed_graph import Seen
from rayrl.models.sequences import Sequences

if TYPE_CHECKING:
    from rayrl.models.graph_encoder import GraphEncoder


class FusionEncoder(Encoder):
    """Features of a graph, images and vectors: ``f(W fusion(tokens))``.

    There is one token for each image, one for each graph, and one for all vectors together; the order is that
    of the observation within each kind.

    Attributes:
        graph_encoders: those of the graphs.
    """

    def __init__(self, layout: ObservationLayout, config: ModelConfig) -> None:
        super().__init__(layout, config)
        images = [ImageEncoder(shape, config) for shape in layout.images.values()]
        graphs = _graph_encoders(layout, config)
        self.images, self.graphs = nn.ModuleList(images), nn.ModuleList(graphs)
        sizes = [image.output_size for image in images] + [graph.output_size for graph in graphs]
        kinds = ["image"] * len(images) + ["graph"] * len(graphs)
        initializer = Initializer.of(config, "fcnet")
        self.state: MLP | None = None
        if layout.size:
            self.state = MLP(
                (layout.size, *config.state.hidden_dims, config.state.output_dim),
                activation=config.fcnet_activation,
                layer_norm=config.fcnet_use_layernorm,
                initializer=initializer,
            )
            sizes.append(self.state.output_size)
            kinds.append("vector")
        self.fusion = FUSIONS[config.fusion.kind](kinds, sizes, config)
        self.projection = MLP(
            (self.fusion.output_size, config.features_dim),
            activation=config.fcnet_activation,
            layer_norm=config.fcnet_use_layernorm,
            initializer=initializer,
        )
        self.output_size = config.features_dim
        self.graph_encoders = tuple(graphs)
        self._encoders = (*images, *graphs)

    def forward(
        self, flat: torch.Tensor | None, seen: Seen, sequences: Sequences | None = None
    ) -> torch.Tensor:
        """Features (B, ``output_size``).

        Args:
            flat: the vectors (B, F), joined.
            seen: the images (B, channels, height, width), then the graphs.
            sequences: how the rows form sequences; only an encoder that remembers needs to know.
        """
        tokens = [encoder.forward(each) for encoder, each in zip(self._encoders, seen, strict=True)]
        if self.state is not None:
            assert flat is not None
            tokens.append(self.state.forward(flat))
        return self.projection.forward(self.fusion.forward(tokens))


class ImageEncoder(nn.Module):
    """Convolutions over an image, and a linear layer over what they give.

    Args:
        shape: (height, width, channels).
        config: options.

    Attributes:
        output_size: numbers of a token.
    """

    def __init__(self, shape: tuple[int, int, int], config: ModelConfig) -> None:
        super().__init__()
        self.cnn = CNN(
            shape,
            config.visual.conv_filters,
            activation=config.conv_activation,
            initializer=Initializer.of(config, "conv"),
        )
        self.output_size = config.visual.output_dim
        self.linear = nn.Linear(self.cnn.output_size, self.output_size)
        Initializer.of(config, "fcnet")(self.linear, 2**0.5)
        self._activation = ACTIVATIONS[config.fcnet_activation] or nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Tokens (B, ``output_size``) of images (B, channels, height, width)."""
        token: torch.Tensor = self._activation(self.linear(self.cnn.forward(image)))
        return token


def _graph_encoders(layout: ObservationLayout, config: ModelConfig) -> list[GraphEncoder]:
    if not layout.graphs:
        return []
    if config.graph.edge_types and not any(space.edge_types for space in layout.graphs.values()):
        raise ConfigError(
            f"edge_types = true has no effect: {', '.join(layout.graphs)} has no array edge_types",
            where="model_config.graph",
            remedy="leave it out, or observe the types of edges",
        )
    # torch-geometric takes seconds to import, which only networks that read graphs are to wait for.
    from rayrl.models.graph_encoder import GraphEncoder

    return [GraphEncoder(space, config) for space in layout.graphs.values()]
