"""Whether something failed for want of memory, and what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from ray.exceptions import OutOfMemoryError

from rayrl.algorithms.options import TrainOptions
from rayrl.pipeline.trial_resources import TrialResources

_SAYINGS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "ran out of memory",
    "memoryerror",
    "memory monitor",
)
"""What PyTorch, CUDA, numpy, the system and Ray say of it, in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is of memory that was not there, in whatever process."""
    return any(
        isinstance(each, MemoryError | OutOfMemoryError)
        or (isinstance(each, OSError) and each.errno == errno.ENOMEM)
        or any(saying in str(each).lower() for saying in _SAYINGS)
        for each in _chain(error)
    )


def memory_advice(train: TrainOptions, resources: TrialResources) -> str:
    """What a trial took, and which options make it take less.

    Args:
        train: the options of training, whose values are named.
        resources: the most that was seen.
    """
    options = train.options
    minibatch = options.get("minibatch_size", options.get("train_batch_size_per_learner"))
    smaller = [
        "train.options.minibatch_size" + (f" (now {minibatch})" if minibatch is not None else ""),
        f"train.envs_per_runner (now {train.envs_per_runner})",
        "train.options.train_batch_size_per_learner",
    ]
    if train.replay_shards or train.replay.record:
        smaller.append(f"train.replay.capacity (now {train.replay.capacity})")
    return (
        f"it ran out of memory{_most(resources)}: lower {', '.join(smaller)}; on a GPU, set "
        "train.options.precision: bf16; take a smaller architecture; or give each trial more of the "
        f"machine: raise train.cpus_per_learner (now {train.cpus_per_learner:g}) or train.gpus_per_learner "
        f"(now {train.gpus_per_learner}), so that fewer train side by side"
    )


def pretraining_advice(batch_size: int, resources: TrialResources) -> str:
    """What a seed's pretraining took, and what makes it take less.

    Args:
        batch_size: ``pretrain.batch_size`` as it is.
        resources: the most that was seen.
    """
    return (
        f"it ran out of memory{_most(resources)}: lower pretrain.batch_size (now {batch_size}), clone fewer "
        "demonstrations (collect.steps), or take a smaller architecture"
    )


def _most(resources: TrialResources) -> str:
    seen = [
        f"{size / 2**20:,.0f} MiB{where}"
        for size, where in (
            (resources.peak_memory_bytes, ""),
            (resources.peak_gpu_memory_bytes, " on a GPU"),
        )
        if size is not None
    ]
    return f", having had up to {' and '.join(seen)}" if seen else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, here or in the process that it came from."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [each.__cause__, each.__context__, getattr(each, "cause", None)]
