"""What the learners of a group say to each other; with a single learner, nothing."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of learners that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Index of this learner."""
    return dist.get_rank() if world_size() > 1 else 0


def sum_over_learners(tensor: Tensor) -> Tensor:
    """Adds a tensor up over all learners, in place; every learner must call it, with the same shape."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def gather_counts(count: int, device: torch.device) -> list[int]:
    """One count of each learner, by rank."""
    if world_size() == 1:
        return [count]
    counts = torch.zeros(world_size(), dtype=torch.int64, device=device)
    counts[rank()] = count
    return [int(c) for c in sum_over_learners(counts).tolist()]


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Gives every learner the first one's values."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
