"""Scales rewards by the spread of discounted returns, so that value targets are of order one."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from rayrl.algorithms.collective import sum_over_learners


class RewardScaler:
    """Divides rewards by the running standard deviation of G_t = γ G_{t-1} + r_t (Engstrom et al. 2020, §3).

    G starts at 0 with every trajectory, also with one that goes on from an earlier batch: that keeps learners
    and batches independent, and with the usual rollout lengths changes the spread by little.

    Args:
        gamma: discount γ.
        clip: bound on the absolute value of a scaled reward.
        device: the learner's, on which NCCL needs what learners add up.
    """

    def __init__(self, gamma: float, clip: float = 10.0, device: torch.device | None = None) -> None:
        self.gamma = gamma
        self.clip = clip
        self._device = device
        self.moments = np.zeros(3)  # n, ΣG, ΣG²

    def scale(self, rewards: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Takes some rewards into the statistics of all learners, and scales them.

        Args:
            rewards: ``(rows,)`` raw rewards.
            offsets: ``(trajectories + 1,)``.
        """
        returns = np.empty(len(rewards))
        _discounted(rewards, offsets, self.gamma, returns)
        new = torch.tensor(
            [float(len(returns)), returns.sum(), np.square(returns).sum()],
            dtype=torch.float64,
            device=self._device,
        )
        self.moments += sum_over_learners(new).numpy(force=True)
        n, total, squares = self.moments
        variance = max(squares / n - (total / n) ** 2, 1e-8)
        scaled: NDArray[np.float32] = (rewards / np.sqrt(variance)).astype(np.float32)
        return np.clip(scaled, -self.clip, self.clip)


@numba.njit(cache=True, nogil=True)
def _discounted(rewards: Any, offsets: Any, gamma: float, returns: Any) -> None:
    for i in range(len(offsets) - 1):
        value = 0.0
        for t in range(offsets[i], offsets[i + 1]):
            value = gamma * value + rewards[t]
            returns[t] = value
