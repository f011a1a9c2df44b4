"""Label smoothing of Discrete actions."""

from __future__ import annotations

import torch
from torch import Tensor

from rayrl.models.distributions import MASKED_LOGIT


def smoothed_loss(logits: Tensor, nll: Tensor, smoothing: float) -> Tensor:
    """(1 − ε) · −log π(a) + ε · mean over allowed actions of −log π, for each row.

    Args:
        logits: ``(B, n)``; those of masked actions are ``MASKED_LOGIT``.
        nll: ``(B,)`` −log π(a) of the demonstrated actions.
        smoothing: ε.

    Returns:
        ``(B,)``.
    """
    logits = logits.float()
    allowed = logits > MASKED_LOGIT / 2
    logp = torch.log_softmax(logits, dim=-1).where(allowed, 0.0)
    return (1 - smoothing) * nll - smoothing * logp.sum(-1) / allowed.sum(-1)
