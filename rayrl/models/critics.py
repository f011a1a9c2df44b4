"""Critics of state and action: several networks of one form, computed as one."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from rayrl.models.model_config import ModelConfig
from rayrl.models.networks import ACTIVATIONS, LAYER_NORM_EPSILON, Initializer, convolutions
from rayrl.models.observations import ObservationLayout
from rayrl.models.packed_graph import Seen


class Critics(nn.Module):
    """Independent multilayer perceptrons whose weights lie side by side, so that a layer is one product.

    Images go through convolutions that all of them share.

    Args:
        layout: which parts of the observation are flat, and which images.
        config: sizes, activation and initializers of the hidden layers.
        actions: elements of an action that is an input; 0 where the critics give values of all actions.
        outputs: values that each gives.
        count: how many critics there are, C below.
    """

    def __init__(
        self, layout: ObservationLayout, config: ModelConfig, *, actions: int, outputs: int, count: int
    ) -> None:
        super().__init__()
        cnns = convolutions(layout, config)
        self.cnns = nn.ModuleList(cnns)
        inputs = layout.size + sum(cnn.output_size for cnn in cnns) + actions
        sizes = (inputs, *config.fcnet_hiddens, *config.head_fcnet_hiddens, outputs)
        initializer = Initializer.of(config, "fcnet")
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        self.scales, self.shifts = nn.ParameterList(), nn.ParameterList()
        for layer, (size, next_size) in enumerate(pairwise(sizes)):
            last = layer == len(sizes) - 2
            drawn = [nn.Linear(size, next_size) for _ in range(count)]
            for linear in drawn:
                initializer(linear, 1.0 if last else 2**0.5)
            self.weights.append(torch.stack([linear.weight.detach().T for linear in drawn]).contiguous())
            self.biases.append(torch.stack([linear.bias.detach()[None] for linear in drawn]))
            if config.fcnet_use_layernorm and not last:
                self.scales.append(torch.ones(count, 1, next_size))
                self.shifts.append(torch.zeros(count, 1, next_size))
        self.count = count
        self._activation = ACTIVATIONS[config.fcnet_activation]

    def forward(
        self,
        flat: torch.Tensor | None,
        images: Seen,
        actions: torch.Tensor | None = None,
        *,
        frozen: bool = False,
    ) -> torch.Tensor:
        """Values (C, B, outputs).

        Args:
            flat: the flat vector (B, F) of an observation.
            images: its images, each (B, channels, height, width).
            actions: (B, A) in the policy's units.
            frozen: gradients go to the inputs alone, and not to the critics' parameters.
        """
        seen = [] if flat is None else [flat]
        for cnn, image in zip(self.cnns, images, strict=True):
            features = cnn(image)
            seen.append(features.detach() if frozen else features)
        if actions is not None:
            seen.append(actions)
        x = torch.cat(seen, dim=1) if len(seen) > 1 else seen[0]
        x = x.expand(self.count, *x.shape)
        last = len(self.weights) - 1
        weights, biases, scales, shifts = (
            [parameter.detach() for parameter in parameters] if frozen else list(parameters)
            for parameters in (self.weights, self.biases, self.scales, self.shifts)
        )
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer == last:
                break
            if scales:
                x = functional.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPSILON)
                x = x * scales[layer] + shifts[layer]
            if self._activation is not None:
                x = self._activation(x)
        return x


@torch.no_grad()
def move_towards(target: nn.Module, source: nn.Module, share: float) -> None:
    """Moves a target network's parameters towards those of the same names: θ' ← θ' + share (θ − θ')."""
    own = dict(source.named_parameters())
    pairs = [(parameter, own[name]) for name, parameter in target.named_parameters()]
    torch._foreach_lerp_([pair[0] for pair in pairs], [pair[1] for pair in pairs], share)
