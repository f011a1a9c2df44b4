"""The networks of the bare loops: plain PyTorch, of the shapes that everybody else in a row has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import gymnasium as gym
import torch
from torch import Tensor, nn


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with tanh between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise([inputs, *hidden]):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))


class BarePolicy:
    """Samples from a categorical or a diagonal Gaussian."""

    def __init__(
        self, observation: gym.spaces.Box, action: gym.spaces.Discrete | gym.spaces.Box, hidden: Sequence[int]
    ) -> None:
        discrete = isinstance(action, gym.spaces.Discrete)
        self.network = mlp(observation.shape[0], hidden, int(action.n) if discrete else action.shape[0])
        self.log_std = None if discrete else torch.zeros(action.shape[0])

    def act(self, observations: Tensor) -> Tensor:
        """One action per row."""
        outputs = self.network(observations)
        if self.log_std is None:
            # argmax(logits + Gumbel noise), which costs a third of torch.multinomial.
            return (outputs - torch.empty_like(outputs).exponential_().log_()).argmax(1)
        return outputs + self.log_std.exp() * torch.randn_like(outputs)
