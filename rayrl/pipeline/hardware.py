"""What this machine is, in words that a reader of the report can compare."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import psutil

from rayrl.pipeline.resources import this_machine

_CPUINFO = Path("/proc/cpuinfo")


def hardware() -> dict[str, Any]:
    """Processor, memory, GPUs and operating system of this machine, as plain JSON values."""
    machine = this_machine()
    found = {
        "processor": _processor(),
        "CPUs": int(machine["CPU"]),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }
    return found | ({"GPUs": ", ".join(_gpus(int(machine["GPU"])))} if machine["GPU"] else {})


def _processor() -> str:
    """The model's name, which Linux tells nowhere else; else the architecture."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpus(count: int) -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(count)]
