"""Generalized advantage estimation over trajectories laid end to end."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def generalized_advantages(
    rewards: NDArray[np.float32],
    values: NDArray[np.float32],
    final_values: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    *,
    gamma: float,
    lambda_: float,
) -> NDArray[np.float32]:
    """Advantages A_t = Σ_k (γλ)^k δ_{t+k} within each trajectory (Schulman et al. 2016, eq. 16).

    A trajectory that was truncated, or cut by the end of a batch, bootstraps from the value of its final
    observation; one that terminated does not.

    Args:
        rewards: ``(rows,)``.
        values: ``(rows,)`` value of each row's observation.
        final_values: ``(trajectories,)`` value of each trajectory's final observation.
        terminated: ``(trajectories,)``.
        offsets: ``(trajectories + 1,)`` rows of trajectory i are ``offsets[i]:offsets[i + 1]``.
        gamma: discount γ.
        lambda_: λ, the weight of longer returns.

    Returns:
        ``(rows,)``.
    """
    bootstrap = np.where(terminated, np.float32(0), final_values)
    advantages = np.empty_like(rewards)
    _backward(rewards, values, bootstrap, offsets, gamma, gamma * lambda_, advantages)
    return advantages


@numba.njit(cache=True, nogil=True)
def _backward(
    rewards: Any, values: Any, bootstrap: Any, offsets: Any, gamma: float, decay: float, advantages: Any
) -> None:
    for i in range(len(offsets) - 1):
        advantage = 0.0
        next_value = float(bootstrap[i])
        for t in range(offsets[i + 1] - 1, offsets[i] - 1, -1):
            # δ_t = r_t + γ V(s_{t+1}) - V(s_t);  A_t = δ_t + γλ A_{t+1}
            delta = rewards[t] + gamma * next_value - values[t]
            advantage = delta + decay * advantage
            advantages[t] = advantage
            next_value = values[t]
