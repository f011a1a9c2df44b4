"""What a run ran on, for its report: ``environment.json`` of the run folder."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import psutil

from rayrl.pipeline.resources import this_machine
from rayrl.storage.atomic import write_json
from rayrl.storage.processor import cpu_model
from rayrl.storage.versions import versions

_ACCELERATOR = "accelerator_type:"


def record_environment(path: Path) -> None:
    """Writes the versions of this process and the hardware that it has, the whole cluster where Ray runs.

    Raises:
        StorageError: the file cannot be written.
    """
    write_json(path, {"versions": versions(), "hardware": hardware()}, "the record of the environment")


def hardware() -> dict[str, Any]:
    """Processor and system of this machine; CPUs, GPUs and memory of the cluster, or else of this machine."""
    import ray

    own = {"processor": cpu_model(), "system": f"{platform.system()} {platform.release()}"}
    if not ray.is_initialized():
        here = this_machine()
        return own | _amounts(here["CPU"], here["GPU"], psutil.virtual_memory().total, [])
    there: dict[str, float] = ray.cluster_resources()
    kinds = [name.removeprefix(_ACCELERATOR) for name in there if name.startswith(_ACCELERATOR)]
    nodes = sum(node["Alive"] for node in ray.nodes())
    # Of each node, Ray counts what it leaves to tasks.
    memory = psutil.virtual_memory().total if nodes == 1 else there.get("memory", 0.0)
    amounts = _amounts(there.get("CPU", 0.0), there.get("GPU", 0.0), memory, kinds)
    return {"nodes": nodes} | own | amounts


def _amounts(cpus: float, gpus: float, memory: float, kinds: list[str]) -> dict[str, Any]:
    return {
        "CPUs": f"{cpus:g}",
        "GPUs": f"{gpus:g}" + (f" ({', '.join(sorted(kinds))})" if gpus and kinds else ""),
        "memory": f"{memory / 2**30:.1f} GiB",
    }
