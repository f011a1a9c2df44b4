"""Distributions of numbers that pass by once, in constant memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT = 1 << 17
"""Values kept for quartiles: those of more are of a uniform sample, off by 0.2 % of the ranks or so."""


class Moments:
    """Count, mean, variance, least and greatest of each column of arrays that pass by.

    Args:
        shape: of one value.
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.count = np.zeros(shape, np.int64)
        self.missing = 0
        self._mean = np.zeros(shape)
        self._squares = np.zeros(shape)
        self._min = np.full(shape, np.inf)
        self._max = np.full(shape, -np.inf)

    def add(self, values: NDArray[Any]) -> None:
        """Takes ``(n, *shape)`` values in; those that are NaN are counted as missing."""
        values = np.asarray(values, np.float64)
        known = ~np.isnan(values)
        self.missing += int(values.size - known.sum())
        n = known.sum(0)
        zeroed = np.where(known, values, 0)
        mean = zeroed.sum(0) / np.maximum(n, 1)
        squares = (np.where(known, values - mean, 0) ** 2).sum(0)
        total = self.count + n
        # M2 = M2_a + M2_b + δ² n_a n_b / n   (Chan, Golub and LeVeque 1983)
        delta = mean - self._mean
        self._squares += squares + delta**2 * self.count * n / np.maximum(total, 1)
        self._mean += delta * n / np.maximum(total, 1)
        self._min = np.minimum(self._min, np.where(known, values, np.inf).min(0, initial=np.inf))
        self._max = np.maximum(self._max, np.where(known, values, -np.inf).max(0, initial=-np.inf))
        self.count = total

    def to_json(self) -> dict[str, Any]:
        """The moments by name; null where there was no value, and for what JSON has no number."""
        std = np.sqrt(self._squares / np.maximum(self.count, 1))
        named = {"mean": self._mean, "std": std, "min": self._min, "max": self._max}
        return {name: _plain(np.where(self.count > 0, value, np.nan)) for name, value in named.items()}


class Distribution:
    """Moments and quartiles of numbers that pass by.

    Args:
        seed: of the sample that stands for more than 131,072 numbers.
    """

    def __init__(self, seed: int = 0) -> None:
        self._moments = Moments()
        self._generator = np.random.default_rng(seed)
        self._kept = np.empty(0)
        self._keys = np.empty(0)

    def add(self, values: NDArray[Any]) -> None:
        """Takes ``(n,)`` numbers in; NaN ones are counted as missing."""
        values = np.asarray(values, np.float64)
        self._moments.add(values)
        values = values[~np.isnan(values)]
        # The values with the smallest of random keys are a uniform sample of all.
        kept = np.concatenate([self._kept, values])
        keys = np.concatenate([self._keys, self._generator.random(len(values))])
        if len(kept) > _KEPT:
            smallest = np.argpartition(keys, _KEPT)[:_KEPT]
            kept, keys = kept[smallest], keys[smallest]
        self._kept, self._keys = kept, keys

    def to_json(self) -> dict[str, Any]:
        """Count, missing, mean, std, min, quartiles, max; whether the quartiles are of a sample."""
        found = {
            "count": int(self._moments.count),
            "missing": self._moments.missing,
        } | self._moments.to_json()
        quartiles = np.quantile(self._kept, [0.25, 0.5, 0.75]) if len(self._kept) else np.full(3, np.nan)
        names = ("q25", "median", "q75")
        found |= {name: _plain(value) for name, value in zip(names, quartiles, strict=True)}
        return found | {"quartiles_sampled": int(self._moments.count) > _KEPT}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim:
        return [_plain(one) for one in value]
    return float(value) if np.isfinite(value) else None
