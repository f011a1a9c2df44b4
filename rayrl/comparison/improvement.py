"""The probability that a run of one candidate beats a run of another (Agarwal et al. 2021, section 4.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayrl.comparison.aggregates import Scores


def probability_of_improvement(x_NM: Scores, y_KM: Scores) -> NDArray[np.float64]:
    """P(X > Y), the mean over tasks of Mann and Whitney's statistic:

        1/M · Σ_m 1/(N K) · Σ_i Σ_j S(x_im, y_jm),   S = 1 where x > y, ½ where x = y, else 0

    A task on which all scores are equal so counts ½. Halves are counted, and divided once: ½ is exact.

    Args:
        x_NM: ``(..., N, M)``, runs × tasks.
        y_KM: ``(..., K, M)``, of as many tasks.

    Returns:
        ``(...)``, in [0, 1].
    """
    x, y = x_NM[..., :, None, :], y_KM[..., None, :, :]
    halves = (x > y).astype(np.int64) + (x >= y)
    probability: NDArray[np.float64] = halves.sum(axis=(-3, -2, -1)) / (2 * np.prod(halves.shape[-3:]))
    return probability
