"""Sample efficiency: how much of what could be scored while training was scored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_height(steps: NDArray[np.float64], scores: NDArray[np.float64], start: float, end: float) -> float:
    """The normalized area under a learning curve: ∫ score ds / (end − start), by the trapezoidal rule.

    It is 1 for who scores 1 from the first step on, and 0 for who never scores.

    Args:
        steps: ``(n,)``, environment steps, growing.
        scores: ``(n,)``, at those steps; a straight line between them.
        start: the first step that counts.
        end: the last one.

    Returns:
        NaN where the curve does not reach over all of it.
    """
    if not len(steps) or steps[0] > start or steps[-1] < end or start >= end:
        return float("nan")
    points = np.concatenate([[start], steps[(steps > start) & (steps < end)], [end]])
    return float(np.trapezoid(np.interp(points, steps, scores), points) / (end - start))
