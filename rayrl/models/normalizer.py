"""Standardization of observations by running moments, as a part of the policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_EPSILON = 1e-8


class Normalizer(nn.Module):
    """Joins the float parts of an observation into one vector and standardizes it.

    The moments are part of the module's state and change only by ``update_from_moments``, so whoever holds
    the same weights computes the same function. Until the first update the vector passes unchanged.

    Args:
        shapes: the shape of one row of each part, by name; F below is the number of their elements.
        enabled: whether the vector is standardized; without, there is no state.
        clip: bound on the absolute value of a standardized element.

    Attributes:
        names: of the parts, in the order in which they are joined.
        count: float64 (), how many rows the moments describe.
        mean: float64 (F,), their mean.
        m2: float64 (F,), their sum of squared deviations from the mean.
    """

    count: torch.Tensor
    mean: torch.Tensor
    m2: torch.Tensor
    _shift: torch.Tensor
    _scale: torch.Tensor

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], *, enabled: bool = True, clip: float = 10.0
    ) -> None:
        super().__init__()
        self.size = sum(math.prod(shape) for shape in shapes.values())
        self.enabled = enabled and self.size > 0
        self.clip = clip
        self.names = tuple(shapes)
        self._shapes = dict(shapes)
        self._vector = self.names[0] if [len(shape) for shape in shapes.values()] == [1] else None
        self._active = False
        if self.enabled:
            self.register_buffer("count", torch.zeros((), dtype=torch.float64))
            self.register_buffer("mean", torch.zeros(self.size, dtype=torch.float64))
            self.register_buffer("m2", torch.zeros(self.size, dtype=torch.float64))
            self.register_buffer("_shift", torch.zeros(self.size), persistent=False)
            self.register_buffer("_scale", torch.ones(self.size), persistent=False)
            self.register_load_state_dict_post_hook(_refresh_after_load)  # type: ignore[no-untyped-call]

    def forward(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The standardized vector (B, F) in float32, of parts (B, ...); parts of other names are left out."""
        x = self.join(parts)
        if not self._active:
            return x
        # The buffers' own dict, since a lookup by attribute costs as much as the subtraction.
        buffers: dict[str, Any] = self._buffers
        # clip((x − mean) / std)
        standardized: torch.Tensor = (x - buffers["_shift"]).mul_(buffers["_scale"])
        return standardized.clamp_(-self.clip, self.clip)

    def join(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The vector (B, F) in float32 before standardization."""
        if self._vector is not None:
            x = parts[self._vector]
            return x if x.dtype is torch.float32 else x.float()
        rows = [(parts[name].float(), math.prod(self._shapes[name])) for name in self.names]
        return torch.cat([x.reshape(len(x), size) for x, size in rows], dim=1)

    def spreads(self) -> dict[str, torch.Tensor]:
        """What one unit of the standardized vector is in each part, in its shape; 1 without moments."""
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        unit = self._scale.reciprocal() if self.enabled else torch.ones(self.size)
        pieces = torch.split_with_sizes(unit, sizes)
        return {
            name: piece.reshape(shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }

    @torch.no_grad()
    def moments(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sums that describe rows of observations: float64 (1 + 2F,), n, Σd and Σd² with d = x − mean.

        Sums of several minibatches or learners are added (all-reduced) and given to ``update_from_moments``.
        They are taken about the present mean, which all hold alike, since sums about 0 would lose the
        variance of elements that are far from it.
        """
        deviation = self.join(parts).double() - self.mean
        count = deviation.new_full((1,), len(deviation))
        return torch.cat([count, deviation.sum(0), deviation.square().sum(0)])

    @torch.no_grad()
    def update_from_moments(self, moments: torch.Tensor) -> None:
        """Merges what ``moments`` gave since the last update (Chan et al. 1983, doi:10.2307/2683386).

        Args:
            moments: float64 (1 + 2F,), the sum over minibatches and learners.
        """
        added, sums, squares = moments[0], moments[1 : 1 + self.size], moments[1 + self.size :]
        if added == 0:
            return
        total = self.count + added
        # δ = mean_B − mean_A;  mean = mean_A + δ n_B / n;  M2 = M2_A + M2_B + δ² n_A n_B / n
        delta = sums / added
        m2_added = (squares - sums * delta).clamp(min=0)
        self.m2 += m2_added + delta.square() * (self.count * added / total)
        self.mean += delta * (added / total)
        self.count.copy_(total)
        self._refresh()

    def _refresh(self) -> None:
        """Recomputes from the moments what ``forward`` uses."""
        self._active = bool(self.count > 0)
        if self._active:
            self._shift.copy_(self.mean)
            self._scale.copy_(torch.rsqrt(self.m2 / self.count + _EPSILON))
        else:
            self._shift.zero_()
            self._scale.fill_(1)


def _refresh_after_load(module: nn.Module, incompatible_keys: Any) -> None:
    assert isinstance(module, Normalizer)
    with torch.no_grad():
        module._refresh()
