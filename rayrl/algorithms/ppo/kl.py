"""Divergence from a reference policy: estimators from samples, and the coefficient β over a trial."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rayrl.algorithms.ppo.options import ReferenceKL

_LARGEST_ERROR = 0.2
"""How much of a relative error one update of β answers, at most."""


def kl_values(estimator: str, log_ratio: Tensor) -> Tensor:
    """What each sampled action says of KL(π ‖ π_ref) (Schulman, "Approximating KL Divergence", 2020).

    Args:
        estimator: ``k1`` = d, ``k2`` = d² / 2, ``k3`` = e^(−d) − 1 + d.
        log_ratio: ``(B,)`` d = log π(a|s) − log π_ref(a|s) of actions drawn from π.
    """
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return 0.5 * log_ratio.square()
    return torch.exp(-log_ratio) - 1 + log_ratio


def kl_loss(estimator: str, log_ratio: Tensor, weights: Tensor) -> Tensor:
    """The same values ``(B,)``, with the gradient of the divergence whatever the estimator.

    E[d ∇log π] is the gradient of KL(π ‖ π_ref), and that of k2. k1's own gradient has the mean 0, and k3's
    is that of KL(π_ref ‖ π) where the policies are close; so both take k2's.

    Args:
        estimator: ``k1``, ``k2`` or ``k3``.
        log_ratio: ``(B,)`` d, differentiable.
        weights: ``(B,)`` π(a|s) / π_b(a|s) of the policy π_b that drew the actions: of earlier weights, or at
            a temperature.
    """
    squared = 0.5 * log_ratio.square()
    values = kl_values(estimator, log_ratio).detach() + squared - squared.detach()
    return weights.detach() * values


class Coefficient:
    """β of the reference's penalty.

    Args:
        options: how it changes.

    Attributes:
        value: β now.
    """

    def __init__(self, options: ReferenceKL) -> None:
        self._options = options
        self.value = options.initial

    def read(self, env_steps: int, gradient_steps: int) -> None:
        """Sets β to what its schedule gives at a step; an adaptive one stays."""
        options = self._options
        if options.schedule == "adaptive":
            return
        steps = env_steps if options.unit == "env_steps" else gradient_steps
        done = min(steps / options.decay_steps, 1.0)
        # β = final + (initial − final) w(x), w(0) = 1, w(1) = 0
        left = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
        weight = left[options.schedule]
        # Not by final + …, which would miss both ends by rounding.
        self.value = options.initial * weight + options.final * (1.0 - weight)

    def adapt(self, kl: float, env_steps: int) -> None:
        """β ← β (1 + e n / horizon), e = clip(KL / target − 1, ±0.2) (Ziegler et al. 2019, §2.2).

        Args:
            kl: mean divergence of the update, in nats.
            env_steps: n, the environment steps of the update.
        """
        options = self._options
        if options.schedule != "adaptive" or options.target is None or not math.isfinite(kl):
            return
        error = min(max(kl / options.target - 1.0, -_LARGEST_ERROR), _LARGEST_ERROR)
        # A batch of more than five horizons would turn β negative.
        self.value *= max(1.0 + error * env_steps / options.horizon, 0.5)

    def get_state(self) -> dict[str, Any]:
        """β."""
        return {"value": self.value}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_state`` gave."""
        self.value = state["value"]
