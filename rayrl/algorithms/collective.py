"""What the learners of a group say to each other; with a single learner, nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from rayrl.errors import LearnerTimeoutError

_SHORTEST_WAIT_S = 0.001

_deadline = math.inf


def world_size() -> int:
    """Number of learners that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Index of this learner."""
    return dist.get_rank() if world_size() > 1 else 0


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Bounds the time that this learner waits for others within the block.

    NCCL has a limit of its own, and is not waited for on the host.
    """
    global _deadline
    _deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline = math.inf


def sum_over_learners(tensor: Tensor) -> Tensor:
    """Adds a tensor up over all learners, in place; every learner must call it, with the same shape.

    Raises:
        LearnerTimeoutError: another learner died, or did not come before the time limit.
    """
    if world_size() > 1:
        _wait(dist.all_reduce(tensor, async_op=True))
    return tensor


def largest_over_learners(tensor: Tensor) -> Tensor:
    """Takes the largest of each element over all learners, in place; every learner must call it.

    Raises:
        LearnerTimeoutError: another learner died, or did not come before the time limit.
    """
    if world_size() > 1:
        _wait(dist.all_reduce(tensor, op=dist.ReduceOp.MAX, async_op=True))
    return tensor


def gather_counts(count: int, device: torch.device) -> list[int]:
    """One count of each learner, by rank.

    Raises:
        LearnerTimeoutError: another learner died, or did not come before the time limit.
    """
    if world_size() == 1:
        return [count]
    counts = torch.zeros(world_size(), dtype=torch.int64, device=device)
    counts[rank()] = count
    return [int(c) for c in sum_over_learners(counts).tolist()]


def gather_rows(rows: Tensor) -> Tensor:
    """The rows ``(n, k)`` of all learners, in the order of their ranks; they may differ in n.

    Raises:
        LearnerTimeoutError: another learner died, or did not come before the time limit.
    """
    if world_size() == 1:
        return rows
    counts = gather_counts(len(rows), rows.device)
    first = sum(counts[: rank()])
    gathered = rows.new_zeros(sum(counts), *rows.shape[1:])
    gathered[first : first + len(rows)] = rows
    return sum_over_learners(gathered)


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Gives every learner the first one's values."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def _wait(work: dist.Work | None) -> None:
    assert work is not None
    try:
        if _deadline == math.inf or dist.get_backend() != "gloo":
            work.wait()
        else:
            work.wait(timedelta(seconds=max(_deadline - time.monotonic(), _SHORTEST_WAIT_S)))
    except RuntimeError as error:
        raise LearnerTimeoutError(
            f"the other learners stopped answering: {error}", where=f"learner {rank()}"
        ) from error
