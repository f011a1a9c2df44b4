"""Distributions over Box actions, given by means and logarithms of standard deviations."""

from __future__ import annotations

import functools
import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rayrl.errors import SpaceError
from rayrl.models.distributions.base import ActionDistribution, FloatArray

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_LARGEST_TANH = np.float32(1 - 1e-6)
_QUADRATURE_NODES = 32


class DiagGaussian(ActionDistribution):
    """Independent normals; the inputs are k means, then k logarithms of standard deviations.

    Args:
        space: a Box of floats with k elements.
        log_std_clip: bound on the absolute value of log σ, applied wherever the inputs are used.
        normalize_actions: as in RLlib, the policy works in [−1, 1] and ``to_env`` maps that to the bounds and
            clips there; a Box that is not bounded on every side is left alone.
        clip_actions: as in RLlib, and only without ``normalize_actions``, ``to_env`` clips to the bounds.

    Actions are stored neither mapped nor clipped, so that their density is the Gaussian's.

    Raises:
        SpaceError: the Box does not hold floats.
    """

    def __init__(
        self,
        space: gym.spaces.Box,
        *,
        log_std_clip: float = 20.0,
        normalize_actions: bool = True,
        clip_actions: bool = False,
    ) -> None:
        if not np.issubdtype(space.dtype, np.floating):
            raise SpaceError(
                f"a Box of {space.dtype} has no continuous distribution: {space}",
                where="action space",
                remedy="use MultiDiscrete for integers, or a Box of float32",
            )
        self.space = space
        self.noise_size = int(np.prod(space.shape))
        self.input_size = 2 * self.noise_size
        self._clip = float(log_std_clip)
        self._unsquash = normalize_actions and bool(space.bounded_below.all() and space.bounded_above.all())
        self._clip_to_bounds = clip_actions and not normalize_actions
        self._half_range = np.ones(space.shape, space.dtype)
        if self._unsquash:
            self._half_range = space.high / 2 - space.low / 2

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        """Standard normal noise (\\*shape, k)."""
        return generator.standard_normal((*shape, self.noise_size), dtype=np.float32)

    def sample(self, inputs: FloatArray, noise: FloatArray) -> NDArray[Any]:
        """μ + σ ε (N, \\*A) in float32."""
        log_std = np.minimum(inputs[:, self.noise_size :], self._clip)
        np.maximum(log_std, -self._clip, out=log_std)
        actions = np.exp(log_std, out=log_std)
        actions *= noise
        actions += inputs[:, : self.noise_size]
        return actions.reshape(len(inputs), *self.space.shape)

    def mode(self, inputs: FloatArray) -> NDArray[Any]:
        """μ (N, \\*A)."""
        return inputs[:, : self.noise_size].reshape(len(inputs), *self.space.shape)

    def logp(self, inputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Σ (−½ ((a − μ) / σ)² − log σ − ½ log 2π) (B,)."""
        mean, log_std = self._mean_and_log_std(inputs)
        standardized = (actions.float().reshape(len(actions), -1) - mean) * torch.exp(-log_std)
        return (-0.5 * standardized.square() - log_std).sum(-1) - self.noise_size * _HALF_LOG_2PI

    def entropy(self, inputs: torch.Tensor) -> torch.Tensor:
        """Σ (log σ + ½ log 2πe) (B,)."""
        _, log_std = self._mean_and_log_std(inputs)
        return log_std.sum(-1) + self.noise_size * (_HALF_LOG_2PI + 0.5)

    def kl(self, inputs_p: torch.Tensor, inputs_q: torch.Tensor) -> torch.Tensor:
        """Σ (log σ_q − log σ_p + (σ_p² + (μ_p − μ_q)²) / 2σ_q² − ½) (B,)."""
        mean_p, log_std_p = self._mean_and_log_std(inputs_p)
        mean_q, log_std_q = self._mean_and_log_std(inputs_q)
        ratio = log_std_p - log_std_q
        distance = (mean_p - mean_q) * torch.exp(-log_std_q)
        return (0.5 * (torch.exp(2 * ratio) + distance.square() - 1) - ratio).sum(-1)

    def tempered(self, inputs: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
        """The same means, and σ √T: the normal ∝ p^(1/T); where there is a tanh, that of before it."""
        mean, log_std = self._mean_and_log_std(inputs)
        return torch.cat([mean, log_std + 0.5 * torch.log(temperature).unsqueeze(-1)], dim=-1)

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions (N, \\*A) mapped or clipped to the bounds, in the space's element type."""
        space = self.space
        if self._unsquash:
            # low + (a + 1) (high − low) / 2
            actions = space.low + (actions + 1) * self._half_range
        if self._unsquash or self._clip_to_bounds:
            actions = np.minimum(np.maximum(actions, space.low), space.high)
        return actions.astype(space.dtype, copy=False)

    def from_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """The inverse of ``to_env`` for actions within the bounds: (N, \\*A) in float32."""
        if self._unsquash:
            # An element with equal bounds has one action, and any value maps to it.
            scale = np.where(self._half_range == 0, 1, self._half_range)
            actions = (actions - self.space.low) / scale - 1
        return actions.astype(np.float32, copy=False)

    def _mean_and_log_std(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = inputs.float().chunk(2, dim=-1)
        return mean, log_std.clamp(-self._clip, self._clip)


class SquashedGaussian(DiagGaussian):
    """tanh of independent normals, as in SAC (Haarnoja et al. 2018, arXiv:1801.01290, appendix C).

    Actions are stored in (−1, 1), where their density is taken; ``to_env`` maps them to the bounds. A sample
    is kept within ±(1 − 1e-6), so that the normal variable behind it can be recovered in float32.

    Raises:
        SpaceError: the Box does not hold floats, or has an infinite bound.
    """

    def __init__(self, space: gym.spaces.Box, *, log_std_clip: float = 20.0) -> None:
        super().__init__(space, log_std_clip=log_std_clip, normalize_actions=True)
        if not self._unsquash:
            raise SpaceError(
                f"squashed actions need finite bounds, not {space}",
                where="action space",
                remedy="bound the Box, or set squash_actions to false",
            )

    def sample(self, inputs: FloatArray, noise: FloatArray) -> NDArray[Any]:
        """tanh(μ + σ ε) (N, \\*A) in float32."""
        return _bounded_tanh(super().sample(inputs, noise))

    def mode(self, inputs: FloatArray) -> NDArray[Any]:
        """tanh(μ) (N, \\*A), the median of each element."""
        return _bounded_tanh(super().mode(inputs))

    def logp(self, inputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """log N(u) − Σ log(1 − tanh² u) (B,) at u = atanh(a)."""
        limit = float(_LARGEST_TANH)
        u = torch.atanh(actions.float().reshape(len(actions), -1).clamp(-limit, limit))
        return super().logp(inputs, u) - _log_tanh_derivative(u).sum(-1)

    def reparameterized(self, inputs: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions (B, k) of noise (B, k), and their log-density (B,), both differentiable in the inputs."""
        mean, log_std = self._mean_and_log_std(inputs)
        # a = tanh(μ + σ ε), log π(a) = log N(ε) - Σ log σ - Σ log(1 - tanh² u)
        u = mean + log_std.exp() * noise
        per_element = -0.5 * noise.square() - log_std - _log_tanh_derivative(u)
        return torch.tanh(u), per_element.sum(-1) - self.noise_size * _HALF_LOG_2PI

    def entropy(self, inputs: torch.Tensor) -> torch.Tensor:
        """H(N) + Σ E[log(1 − tanh² u)] (B,).

        The expectation has no closed form; each element's is integrated by Gauss-Hermite quadrature, which is
        deterministic and, up to σ = 2, exact to 1e-3 nats.
        """
        mean, log_std = self._mean_and_log_std(inputs)
        nodes, weights = _hermite_rule(inputs.device)
        # E[f(u)] = Σᵢ wᵢ f(μ + √2 σ xᵢ) / √π
        u = mean.unsqueeze(-1) + log_std.exp().unsqueeze(-1) * nodes
        return super().entropy(inputs) + (_log_tanh_derivative(u) * weights).sum((-2, -1))

    # KL does not change under an invertible map, so the normals' divergence, as inherited, is exact.


def _bounded_tanh(u: FloatArray) -> FloatArray:
    actions = np.tanh(u)
    np.minimum(actions, _LARGEST_TANH, out=actions)
    return np.maximum(actions, -_LARGEST_TANH, out=actions)


def _log_tanh_derivative(u: torch.Tensor) -> torch.Tensor:
    """log(1 − tanh² u) = 2 (log 2 − u − log(1 + e^(−2u))), which does not cancel for large |u|."""
    return 2 * (math.log(2) - u - functional.softplus(-2 * u))


@functools.lru_cache(maxsize=8)
def _hermite_rule(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    nodes, weights = np.polynomial.hermite.hermgauss(_QUADRATURE_NODES)
    return (
        torch.as_tensor(math.sqrt(2) * nodes, dtype=torch.float32, device=device),
        torch.as_tensor(weights / math.sqrt(math.pi), dtype=torch.float32, device=device),
    )
