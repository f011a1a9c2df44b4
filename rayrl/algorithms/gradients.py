"""One flat gradient: summed over learners in one message, checked and clipped in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import torch
from torch import Tensor

from rayrl.algorithms.collective import sum_over_learners


class FlatGradient:
    """The gradients of all parameters as views of one tensor.

    Args:
        parameters: trainable parameters of one device and dtype.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        first = parameters[0]
        self.flat = torch.zeros(sum(p.numel() for p in parameters), dtype=first.dtype, device=first.device)
        self._views: list[tuple[torch.nn.Parameter, Tensor]] = []
        start = 0
        for parameter in parameters:
            stop = start + parameter.numel()
            self._views.append((parameter, self.flat[start:stop].view_as(parameter)))
            start = stop
        self.hold(frozenset())

    def hold(self, parameters: AbstractSet[torch.nn.Parameter]) -> None:
        """Holds some parameters as they are, and lets the others learn.

        Those held get no gradient, and an optimizer leaves them and their moments alone.
        """
        for parameter, view in self._views:
            held = parameter in parameters
            parameter.requires_grad_(not held)
            parameter.grad = None if held else view

    def zero(self) -> None:
        """Sets the gradient to zero; the views stay."""
        self.flat.zero_()

    def reduce(self) -> None:
        """Adds the gradient up over all learners."""
        sum_over_learners(self.flat)

    def clip(self, max_norm: float | None, max_value: float | None = None) -> tuple[Tensor, Tensor]:
        """Clips by global norm, by value, or not at all.

        Nothing here waits for the device: whether the gradient is finite is told as a tensor.

        Returns:
            The norm before clipping, and 1.0 where it is not finite, else 0.0; both scalars.
        """
        norm = torch.linalg.vector_norm(self.flat)
        if max_norm is not None:
            self.flat.mul_((max_norm / (norm + 1e-6)).clamp_(max=1.0))
        if max_value is not None:
            self.flat.clamp_(-max_value, max_value)
        return norm, torch.isfinite(norm).logical_not_().to(torch.float32)


class LossScale:
    """Dynamic loss scaling for fp16 (Micikevicius et al. 2018, §3.2), without waiting for the device.

    Args:
        device: where the scale lives.
        initial: first scale.
        growth_interval: finite steps after which the scale doubles.
    """

    def __init__(self, device: torch.device, initial: float = 2.0**15, growth_interval: int = 2000) -> None:
        self.scale = torch.full((), initial, device=device)
        self.finite_steps = torch.zeros((), device=device)
        self._growth_interval = growth_interval

    def update(self, found_inf: Tensor) -> None:
        """Halves the scale after an overflow; doubles it after enough steps without one."""
        finite = 1.0 - found_inf
        self.finite_steps.add_(1).mul_(finite)
        grown = (self.finite_steps >= self._growth_interval).to(torch.float32)
        self.scale.mul_(0.5 * found_inf + finite * (1.0 + grown))
        self.finite_steps.mul_(1.0 - grown)

    def get_state(self) -> dict[str, float]:
        """The scale and how long it has held."""
        return {"scale": self.scale.item(), "finite_steps": self.finite_steps.item()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from a saved state."""
        self.scale.fill_(state["scale"])
        self.finite_steps.fill_(state["finite_steps"])
