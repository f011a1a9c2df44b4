"""Ticks of an axis on which equal ratios are equally far apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

_MANY_DECADES = 2.0


def log_ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times the powers of ten that the values lie between, or the powers alone over many.

    Args:
        values: > 0; one at least.
    """
    low, high = math.log10(min(values)), math.log10(max(values))
    steps = (1, 2, 5) if high - low <= _MANY_DECADES else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    return [float(f"{step}e{decade}") for decade in decades for step in steps]
