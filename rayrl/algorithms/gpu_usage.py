"""How much of its GPU a learner uses."""

from __future__ import annotations

import contextlib
import importlib

import torch


def gpu_usage(device: torch.device) -> dict[str, float]:
    """Memory and utilization of a GPU; nothing of another device.

    Args:
        device: the learner's.

    Returns:
        ``gpu_memory_gib``: the most that PyTorch had allocated there since the last call, in GiB; and, where
        pynvml is installed and its driver answers, ``gpu_utilization``: the share of the driver's last sample
        period (up to a second) in which a kernel of any process ran.
    """
    if device.type != "cuda":
        return {}
    usage = {"gpu_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30}
    torch.cuda.reset_peak_memory_stats(device)
    # pynvml may be missing, and a driver may not tell, as of MIG slices.
    with contextlib.suppress(ModuleNotFoundError, RuntimeError, _nvml_error()):
        usage["gpu_utilization"] = torch.cuda.utilization(device) / 100
    return usage


def _nvml_error() -> type[Exception]:
    """What pynvml raises, which derives from nothing more special than ``Exception``."""
    try:
        error: type[Exception] = importlib.import_module("pynvml").NVMLError
    except ModuleNotFoundError:
        return ModuleNotFoundError
    return error
