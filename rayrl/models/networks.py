"""Multilayer perceptrons and convolutions that cost little more than their arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from rayrl.errors import ConfigError
from rayrl.models.conv_filter import ConvFilter
from rayrl.models.model_config import Activation, ModelConfig
from rayrl.models.observations import ObservationLayout
from rayrl.models.packed_graph import Seen
from rayrl.models.sequences import Sequences

ACTIVATIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor] | None] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "silu": functional.silu,
    "elu": functional.elu,
    "linear": None,
}
LAYER_NORM_EPSILON = 1e-3  # RLlib's


@dataclass(frozen=True)
class Initializer:
    """Names of functions of ``torch.nn.init`` and their arguments; None means orthogonal and zero."""

    kernel: str | None = None
    kernel_kwargs: dict[str, Any] | None = None
    bias: str | None = None
    bias_kwargs: dict[str, Any] | None = None

    @classmethod
    def of(cls, config: ModelConfig, stack: str) -> Initializer:
        """The initializer of a stack of layers: ``fcnet``, ``conv`` or ``head_fcnet``."""
        return cls(
            getattr(config, f"{stack}_kernel_initializer"),
            getattr(config, f"{stack}_kernel_initializer_kwargs"),
            getattr(config, f"{stack}_bias_initializer"),
            getattr(config, f"{stack}_bias_initializer_kwargs"),
        )

    def __call__(self, layer: nn.Linear | nn.Conv2d, gain: float) -> None:
        """Draws the weights of a layer; ``gain`` is that of the orthogonal default.

        Raises:
            ConfigError: a named function refuses its arguments or the layer's shape.
        """
        assert layer.bias is not None
        if self.kernel is None:
            nn.init.orthogonal_(layer.weight, gain)
        else:
            _initialize(self.kernel, layer.weight, self.kernel_kwargs)
        if self.bias is None:
            nn.init.zeros_(layer.bias)
        else:
            _initialize(self.bias, layer.bias, self.bias_kwargs)


def _initialize(name: str, tensor: torch.Tensor, kwargs: dict[str, Any] | None) -> None:
    try:
        getattr(nn.init, name)(tensor, **(kwargs or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the initializer {name!r} cannot fill a tensor of shape {tuple(tensor.shape)} "
            f"with the arguments {kwargs or {}}: {error}",
            where="model_config",
        ) from error


Layer = tuple[nn.Linear, nn.LayerNorm | None, Callable[[torch.Tensor], torch.Tensor] | None]


def apply_layers(layers: Sequence[Layer], x: torch.Tensor) -> torch.Tensor:
    """(B, inputs) to (B, outputs), without the cost of calling modules.

    At the batch sizes of a rollout, ``nn.Sequential`` spends as much time on attribute lookups and hooks as
    on arithmetic; so parameters are taken from the modules' own dict.
    """
    for linear, norm, activation in layers:
        parameters: dict[str, Any] = linear._parameters
        x = functional.linear(x, parameters["weight"], parameters["bias"])
        if norm is not None:
            x = norm(x)
        if activation is not None:
            x = activation(x)
    return x


class MLP(nn.Module):
    """Linear layers with an activation after each; an optional output layer has none.

    Args:
        sizes: number of inputs, then of each hidden layer's outputs.
        activation: the hidden layers' activation.
        layer_norm: normalize before each activation.
        initializer: how layers are drawn; hidden layers' orthogonal weights have gain √2.
        output_size: number of outputs of the output layer; None for none.
        output_gain: gain of the output layer's orthogonal weights.

    Attributes:
        layers: what ``apply_layers`` takes.
        output_size: number of outputs.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: Activation,
        layer_norm: bool,
        initializer: Initializer,
        output_size: int | None = None,
        output_gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.output_size = sizes[-1] if output_size is None else output_size
        self.linears = nn.ModuleList()
        self.norms = nn.ModuleList()
        layers: list[Layer] = []
        for inputs, outputs in pairwise(sizes):
            linear = nn.Linear(inputs, outputs)
            initializer(linear, math.sqrt(2))
            self.linears.append(linear)
            norm = nn.LayerNorm(outputs, eps=LAYER_NORM_EPSILON) if layer_norm else None
            if norm is not None:
                self.norms.append(norm)
            layers.append((linear, norm, ACTIVATIONS[activation]))
        if output_size is not None:
            linear = nn.Linear(sizes[-1], output_size)
            initializer(linear, output_gain)
            self.linears.append(linear)
            layers.append((linear, None, None))
        self.layers = tuple(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs) to (B, outputs)."""
        return apply_layers(self.layers, x)


class CNN(nn.Module):
    """Convolutions with an activation after each, then flattened.

    Args:
        shape: (height, width, channels) of the image.
        filters: RLlib's ``conv_filters``; padding is "same" (as many pixels as stride divides, rounded up,
            with the odd one of padding at the end) unless "valid" is given.
        activation: the activation after each convolution.
        initializer: how layers are drawn, orthogonal with gain √2 by default.

    Raises:
        ConfigError: the image is smaller than a kernel without padding.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        filters: Sequence[ConvFilter],
        *,
        activation: Activation,
        initializer: Initializer,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        self._paddings: list[tuple[int, int, int, int]] = []
        self._activation = ACTIVATIONS[activation]
        height, width, channels = shape
        for outputs, kernel, stride, padding in filters:
            layer = nn.Conv2d(channels, outputs, kernel, stride)
            initializer(layer, math.sqrt(2))
            self.convolutions.append(layer)
            if padding == "valid":
                self._paddings.append((0, 0, 0, 0))
                height = (height - kernel[0]) // stride[0] + 1
                width = (width - kernel[1]) // stride[1] + 1
            else:
                top_and_bottom = _same_padding(height, kernel[0], stride[0])
                left_and_right = _same_padding(width, kernel[1], stride[1])
                self._paddings.append((*left_and_right, *top_and_bottom))
                height, width = math.ceil(height / stride[0]), math.ceil(width / stride[1])
            if min(height, width) < 1:
                raise ConfigError(
                    f"conv_filters: nothing is left of an image of {shape} after {layer}",
                    where="model_config",
                    remedy='use smaller kernels, fewer layers, or "same" padding',
                )
            channels = outputs
        self.output_size = height * width * channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, height, width) to (B, ``output_size``)."""
        for layer, padding in zip(self.convolutions, self._paddings, strict=True):
            x = layer(functional.pad(x, padding) if any(padding) else x)
            if self._activation is not None:
                x = self._activation(x)
        return x.flatten(1)


def convolutions(layout: ObservationLayout, config: ModelConfig) -> list[CNN]:
    """A stack of convolutions for each image of an observation."""
    return [
        CNN(
            shape,
            config.conv_filters or (),
            activation=config.conv_activation,
            initializer=Initializer.of(config, "conv"),
        )
        for shape in layout.images.values()
    ]


class Encoder(nn.Module):
    """From what is read of an observation to features.

    An encoder that remembers has a state of ``state_size`` numbers for each episode, zeros at its start, and
    its features are the state after the step.

    Attributes:
        output_size: number of features.
        state_size: numbers that are remembered of an episode, 0 for none.
    """

    output_size: int
    state_size = 0

    def __init__(self, layout: ObservationLayout, config: ModelConfig) -> None:
        super().__init__()

    def forward(
        self, flat: torch.Tensor | None, seen: Seen, sequences: Sequences | None = None
    ) -> torch.Tensor:
        """Features (B, ``output_size``).

        Args:
            flat: the flat vector (B, F).
            seen: images, each (B, channels, height, width), then graphs.
            sequences: how the rows form sequences; only an encoder that remembers needs to know.
        """
        raise NotImplementedError

    def step(self, flat: torch.Tensor | None, seen: Seen, state: torch.Tensor) -> torch.Tensor:
        """Features (B, ``output_size``) of one step of B episodes with states (B, S) before it."""
        return self.forward(flat, seen)


class JoinedEncoder(Encoder):
    """The flat vector, joined with what convolutions give of images, through fully connected layers."""

    def __init__(self, layout: ObservationLayout, config: ModelConfig) -> None:
        super().__init__(layout, config)
        cnns = convolutions(layout, config)
        self.cnns = nn.ModuleList(cnns)
        self.mlp = MLP(
            (layout.size + sum(cnn.output_size for cnn in cnns), *config.fcnet_hiddens),
            activation=config.fcnet_activation,
            layer_norm=config.fcnet_use_layernorm,
            initializer=Initializer.of(config, "fcnet"),
        )
        self.output_size = self.mlp.output_size
        self._layers = self.mlp.layers

    def forward(
        self, flat: torch.Tensor | None, seen: Seen, sequences: Sequences | None = None
    ) -> torch.Tensor:
        """Features (B, ``output_size``)."""
        if seen:
            features = [cnn(image) for cnn, image in zip(self.cnns, seen, strict=True)]
            flat = torch.cat(features if flat is None else [flat, *features], dim=1)
        assert flat is not None
        return apply_layers(self._layers, flat)


def policy_head(inputs: int, outputs: int, config: ModelConfig) -> MLP:
    """The layers from features to the inputs of the action distribution."""
    return _head(inputs, outputs, config, gain=0.01)


def value_head(inputs: int, config: ModelConfig) -> MLP:
    """The layers from features to the value."""
    return _head(inputs, 1, config, gain=1.0)


def _head(inputs: int, outputs: int, config: ModelConfig, *, gain: float) -> MLP:
    return MLP(
        (inputs, *config.head_fcnet_hiddens),
        activation=config.head_fcnet_activation,
        layer_norm=config.head_fcnet_use_layernorm,
        initializer=Initializer.of(config, "head_fcnet"),
        output_size=outputs,
        output_gain=gain,
    )


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
