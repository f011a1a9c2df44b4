"""Values that are fixed, or change with the steps sampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Schedule = float | Sequence[Sequence[float]]


def scheduled(schedule: Schedule, step: int) -> float:
    """The value at a step.

    Args:
        schedule: a number, or RLlib's ``[[step, value], ...]`` with rising steps: linear in between, the
            first value before and the last one after.
        step: environment steps sampled so far.
    """
    if isinstance(schedule, int | float):
        return float(schedule)
    steps, values = zip(*schedule, strict=True)
    return float(np.interp(step, steps, values))
