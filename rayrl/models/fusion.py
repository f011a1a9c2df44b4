"""How the tokens of several modalities become one vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from rayrl.models.encoder_options import FusionKind, FusionOptions
from rayrl.models.model_config import ModelConfig
from rayrl.models.networks import ACTIVATIONS, Initializer

_LEVELS = ("image", "graph", "vector")


class Fusion(nn.Module):
    """From tokens of their own sizes to one vector.

    Args:
        kinds: of the tokens, in their order: image, graph or vector.
        sizes: numbers of each.
        config: options.

    Attributes:
        output_size: numbers of the vector.
    """

    output_size: int

    def __init__(self, kinds: Sequence[str], sizes: Sequence[int], config: ModelConfig) -> None:
        super().__init__()
        self._initializer = Initializer.of(config, "fcnet")
        self._activation = ACTIVATIONS[config.fcnet_activation] or nn.Identity()

    @abstractmethod
    def forward(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, ``output_size``) of tokens, each (B, its size)."""

    def _linear(self, inputs: int, outputs: int, gain: float = 2**0.5) -> nn.Linear:
        layer = nn.Linear(inputs, outputs)
        self._initializer(layer, gain)
        return layer


class Concat(Fusion):
    """The tokens side by side."""

    def __init__(self, kinds: Sequence[str], sizes: Sequence[int], config: ModelConfig) -> None:
        super().__init__(kinds, sizes, config)
        self.output_size = sum(sizes)

    def forward(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, ``output_size``) of tokens, each (B, its size)."""
        return torch.cat(tuple(tokens), dim=1)


class Attention(Fusion):
    """Tokens of one width attend to each other, and are then side by side.

    t = norm(t + W attention(t)), with the scaled dot products of Vaswani et al. 2017 (arXiv:1706.03762). Each
    modality's projection has a bias of its own, so that tokens tell what they are of.
    """

    def __init__(self, kinds: Sequence[str], sizes: Sequence[int], config: ModelConfig) -> None:
        super().__init__(kinds, sizes, config)
        options: FusionOptions = config.fusion
        self._heads = options.heads
        self.projections = nn.ModuleList(self._linear(size, options.width, 1.0) for size in sizes)
        self.query_key_value = self._linear(options.width, 3 * options.width, 1.0)
        self.out = self._linear(options.width, options.width, 1.0)
        self.norm = nn.LayerNorm(options.width)
        self.output_size = len(sizes) * options.width

    def forward(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, ``output_size``) of tokens, each (B, its size)."""
        pairs = zip(self.projections, tokens, strict=True)
        x = torch.stack([projection(token) for projection, token in pairs], dim=1)
        batch, count, width = x.shape
        heads = self.query_key_value(x).view(batch, count, 3, self._heads, width // self._heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, count, width))
        normed: torch.Tensor = self.norm(x)
        return normed.flatten(1)


class Hierarchical(Fusion):
    """Images first; what they give, with the graphs; what these give, with the vectors.

    A level that has one input only passes it on.
    """

    def __init__(self, kinds: Sequence[str], sizes: Sequence[int], config: ModelConfig) -> None:
        super().__init__(kinds, sizes, config)
        self._kinds = tuple(kinds)
        self.levels = nn.ModuleDict()
        carried: list[int] = []
        for level in _LEVELS:
            inputs = carried + [size for kind, size in zip(kinds, sizes, strict=True) if kind == level]
            if len(inputs) > 1:
                self.levels[level] = self._linear(sum(inputs), config.fusion.width)
                inputs = [config.fusion.width]
            carried = inputs
        (self.output_size,) = carried

    def forward(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, ``output_size``) of tokens, each (B, its size)."""
        carried: list[torch.Tensor] = []
        for level in _LEVELS:
            carried += [token for kind, token in zip(self._kinds, tokens, strict=True) if kind == level]
            if len(carried) > 1:
                carried = [self._activation(self.levels[level](torch.cat(carried, dim=1)))]
        return carried[0]


class Adaptive(Fusion):
    """The tokens of one width, added with weights that depend on all of them.

    g = softmax(W [t_1, …, t_m] + b),  Σ g_i t_i, the gate of a mixture of experts (Jacobs et al. 1991,
    doi:10.1162/neco.1991.3.1.79). All weights are alike at the start.
    """

    def __init__(self, kinds: Sequence[str], sizes: Sequence[int], config: ModelConfig) -> None:
        super().__init__(kinds, sizes, config)
        width = config.fusion.width
        self.projections = nn.ModuleList(self._linear(size, width) for size in sizes)
        self.gate = nn.Linear(len(sizes) * width, len(sizes))
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        self.output_size = width

    def forward(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, ``output_size``) of tokens, each (B, its size)."""
        pairs = zip(self.projections, tokens, strict=True)
        x = torch.stack([self._activation(projection(token)) for projection, token in pairs], dim=1)
        gates = self.gate(x.flatten(1)).softmax(dim=1)
        added: torch.Tensor = (gates.unsqueeze(2) * x).sum(1)
        return added


FUSIONS: dict[FusionKind, Callable[[Sequence[str], Sequence[int], ModelConfig], Fusion]] = {
    "concat": Concat,
    "single_head": Attention,
    "multi_head": Attention,
    "hierarchical": Hierarchical,
    "adaptive": Adaptive,
}
