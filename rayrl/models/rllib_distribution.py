"""An action distribution behind RLlib's ``Distribution``, for RLlib's own runners and losses."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core.distribution.distribution import Distribution

from rayrl.models.distributions import ActionDistribution


class RLlibDistribution(Distribution):
    """A batch of distributions of one family, given by inputs (B, D).

    Attributes:
        family: the action distribution that gives the formulas.
    """

    family: ClassVar[ActionDistribution]

    def __init__(self, inputs: torch.Tensor, *, deterministic: bool = False) -> None:
        self.inputs = inputs
        self._deterministic = deterministic

    @classmethod
    def from_logits(cls, logits: torch.Tensor, **kwargs: Any) -> RLlibDistribution:
        """The distributions of inputs (B, D)."""
        return cls(logits)

    def to_deterministic(self) -> RLlibDistribution:
        """The same, but ``sample`` gives the mode."""
        return type(self)(self.inputs, deterministic=True)

    def sample(self, *, sample_shape: tuple[int, ...] | None = None, **kwargs: Any) -> torch.Tensor:
        """Actions (\\*sample_shape, B, \\*A); PyTorch's global generator decides them."""
        shape = tuple(sample_shape or ())
        rows = np.broadcast_to(self.inputs.numpy(force=True), (*shape, *self.inputs.shape)).reshape(
            -1, self.family.input_size
        )
        if self._deterministic:
            actions = self.family.mode(rows)
        else:
            generator = np.random.default_rng(int(torch.randint(2**63 - 1, ())))
            actions = self.family.sample(rows, self.family.noise(generator, (len(rows),)))
        actions = actions.reshape(*shape, len(self.inputs), *actions.shape[1:])
        return torch.tensor(actions, device=self.inputs.device)

    def rsample(self, *, sample_shape: tuple[int, ...] | None = None, **kwargs: Any) -> torch.Tensor:
        """Not offered: no algorithm here takes gradients through a sample."""
        raise NotImplementedError("reparameterized samples are not offered")

    def logp(self, value: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Log-probabilities (B,) of actions (B, \\*A)."""
        return self.family.logp(self.inputs, value)

    def entropy(self, **kwargs: Any) -> torch.Tensor:
        """Entropies (B,)."""
        return self.family.entropy(self.inputs)

    def kl(self, other: RLlibDistribution, **kwargs: Any) -> torch.Tensor:
        """KL(self ‖ other) (B,)."""
        return self.family.kl(self.inputs, other.inputs)

    @staticmethod
    def required_input_dim(space: gym.Space, **kwargs: Any) -> int:
        """Not known from the space alone, which is why RLlib's catalogs cannot use this class."""
        raise NotImplementedError("ask the module's distribution for its input_size")


def rllib_distribution(distribution: ActionDistribution) -> type[RLlibDistribution]:
    """The RLlib class of an action distribution."""
    return type("BoundDistribution", (RLlibDistribution,), {"family": distribution})
