"""Weights of demonstrated steps: groups of them that count the same, and steps that return more."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.algorithms.pretrain_options import Balance
from rayrl.errors import DataError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Ragged

WEIGHT = "weight"
"""Step column: how much a step counts; 1 on average."""
_MOST = 20.0
"""A step weighs no more, before the mean is made 1 (Peng et al. 2019, appendix)."""


def balanced_weights(batch: TrajectoryBatch, balance: Sequence[Balance]) -> NDArray[np.float32]:
    """``(num_steps,)`` weights N / (S · count) of steps in S groups; their mean is 1.

    A group has one demonstrator, one action, or, where both are named, one action of one demonstrator. Groups
    that do not occur do not count.

    Args:
        batch: all steps that are learned from.
        balance: what makes a group.

    Raises:
        DataError: the batch does not say who demonstrated.
    """
    keys: list[NDArray[Any]] = []
    if "demonstrator" in balance:
        names = batch.trajectory_columns.get(c.DEMONSTRATOR)
        if not isinstance(names, Ragged):
            raise DataError(
                "is needed to balance demonstrators", where=c.DEMONSTRATOR, remedy="balance by action alone"
            )
        _, index = np.unique(np.array(names.to_text()), return_inverse=True)
        keys.append(index[batch.trajectory_of_row()])
    if "action" in balance:
        actions: Any = batch.columns[c.ACTIONS]
        _, index = np.unique(actions.reshape(len(actions), -1), axis=0, return_inverse=True)
        keys.append(index.reshape(-1))
    _, group, counts = np.unique(np.stack(keys, 1), axis=0, return_inverse=True, return_counts=True)
    # w = N / (S · count)
    weights: NDArray[np.float32] = (batch.num_steps / (len(counts) * counts)).astype(np.float32)
    return weights[group.reshape(-1)]


@dataclass(frozen=True, slots=True)
class ReturnWeights:
    """Steps that return more weigh more: w ∝ min(exp(β z), 20), z = (G − mean G) / std G.

    Args:
        beta: β; 0 weighs all alike.
        gamma: discount of the returns G.
    """

    beta: float
    gamma: float

    def of(
        self, train: TrajectoryBatch, val: TrajectoryBatch
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights of both sides, ``(num_steps,)`` each; mean, spread and scale are those of ``train``."""
        g = discounted_returns(train, self.gamma)
        mean, spread = g.mean(), max(g.std(), 1e-8)
        raw = [
            np.minimum(np.exp(self.beta * (each - mean) / spread), _MOST)
            for each in (g, discounted_returns(val, self.gamma))
        ]
        scaled, held_out = ((each / raw[0].mean()).astype(np.float32) for each in raw)
        return scaled, held_out


def discounted_returns(batch: TrajectoryBatch, gamma: float) -> NDArray[np.float64]:
    """``(num_steps,)`` discounted returns from each step on.

    A trajectory that was cut, and did not terminate, is taken to go on as it went from that step to its end:
    G = Σ γᵏ r_k / (1 − γⁿ) over its n last steps, k from 0.

    Args:
        batch: whole or partial episodes.
        gamma: the discount.
    """
    rewards = np.asarray(batch.columns[c.REWARDS], np.float64)
    terminated = np.asarray(batch.trajectory_columns[c.TERMINATED], bool)
    returns = np.empty(batch.num_steps)
    for (start, end), ended in zip(itertools.pairwise(batch.offsets), terminated, strict=True):
        later = 0.0
        for row in range(end - 1, start - 1, -1):
            # G_t = r_t + γ G_{t+1}
            later = returns[row] = rewards[row] + gamma * later
        if not ended:
            returns[start:end] /= 1.0 - gamma ** np.arange(end - start, 0, -1)
    return returns
