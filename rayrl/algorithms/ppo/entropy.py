"""A floor under the policy's entropy, whose gradient pushes back where the entropy falls below it."""

from __future__ import annotations

import torch
from torch import Tensor

from rayrl.algorithms.collective import sum_over_learners


def entropy_floor(entropy: Tensor, rows: int, minimum: float) -> Tensor:
    """This learner's part of the sum over rows of max(0, H_min − H), H the mean of the whole minibatch.

    Of N learners, the parts add up to (all rows) × max(0, H_min − H), whatever their shares; whether the mean
    is below the floor is found in one message of two numbers.

    Args:
        entropy: () the sum over this learner's rows, in nats; differentiable.
        rows: how many those are.
        minimum: H_min in nats.
    """
    totals = sum_over_learners(torch.stack([entropy.detach(), entropy.new_tensor(float(rows))]))
    below = totals[0] < minimum * totals[1]
    return torch.where(below, minimum * rows - entropy, torch.zeros_like(entropy))
