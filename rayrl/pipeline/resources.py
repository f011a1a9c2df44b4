"""Whether a cluster can hold what one trial asks for."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from rayrl.errors import ConfigError, ResourceError
from rayrl.pipeline import cgroup

Bundle = Mapping[str, float]
"""Amounts by resource name (``CPU``, ``GPU``)."""

GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg")
"""One of these is there where a GPU's driver is; the second is WSL's."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class NodeType:
    """A kind of node that an autoscaler may start."""

    resources: Bundle
    max_nodes: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """Nodes that are there, and those that may be started besides."""

    nodes: tuple[Bundle, ...]
    startable: tuple[NodeType, ...] = ()
    max_started: int = 0
    """Over all types."""

    def total(self, resource: str) -> float:
        """The most of a resource that there can be at one time."""
        there = sum(node.get(resource, 0.0) for node in self.nodes)
        left, started = self.max_started, 0.0
        for kind in sorted(self.startable, key=lambda kind: -kind.resources.get(resource, 0.0)):
            count = min(left, kind.max_nodes)
            started += count * kind.resources.get(resource, 0.0)
            left -= count
        return there + started

    def holds(self, bundles: Sequence[Bundle]) -> bool:
        """Whether all bundles fit at one time, each within one node; the largest are placed first."""
        free = [dict(node) for node in self.nodes]
        startable = {index: kind.max_nodes for index, kind in enumerate(self.startable)}
        for bundle in sorted(bundles, key=_size, reverse=True):
            node = next((node for node in free if _fits(bundle, node)), None)
            if node is None:
                fitting = [
                    index
                    for index, count in startable.items()
                    if count and _fits(bundle, self.startable[index].resources)
                ]
                if not fitting or len(free) == len(self.nodes) + self.max_started:
                    return False
                chosen = min(fitting, key=lambda index: _size(self.startable[index].resources))
                startable[chosen] -= 1
                node = dict(self.startable[chosen].resources)
                free.append(node)
            for resource, amount in bundle.items():
                node[resource] = node.get(resource, 0.0) - amount
        return True


def require(bundles: Sequence[Bundle], capacity: Capacity, *, where: str, remedy: str) -> None:
    """Makes sure that a trial can be placed.

    Args:
        bundles: what the trial's processes ask for, one bundle each.
        capacity: what there is.
        where: what to name in the error, a machine or a cluster.
        remedy: what to change.

    Raises:
        ResourceError: it cannot, naming what is missing.
    """
    if capacity.holds(bundles):
        return
    asked = {name: sum(bundle.get(name, 0.0) for bundle in bundles) for name in _names(bundles)}
    missing = [
        f"{_amount(asked[name] - capacity.total(name), name)} (it asks for {asked[name]:g}, "
        f"and there are {capacity.total(name):g})"
        for name in asked
        if asked[name] > capacity.total(name) + _ROUNDING
    ]
    if missing:
        text = f"a trial cannot be placed: missing {', '.join(missing)}"
    else:
        largest = max(bundles, key=_size)
        amounts = ", ".join(_amount(amount, name) for name, amount in largest.items() if amount)
        text = (
            f"a trial cannot be placed: its processes, of up to {amounts} each, do not fit into single nodes"
        )
    raise ResourceError(text, where=where, remedy=remedy)


def this_machine() -> Bundle:
    """The CPUs and GPUs that this process may use."""
    cpus = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    limit = cgroup.cpu_limit()
    if limit is not None:
        cpus = max(1.0, min(cpus, float(math.floor(limit))))
    return {"CPU": cpus, "GPU": float(_usable_gpus())}


def available_memory() -> int:
    """Bytes that new processes may take on this machine, or in this container."""
    free, limit = psutil.virtual_memory().available, cgroup.memory_limit()
    return int(free if limit is None else min(free, limit - (cgroup.memory_used() or 0)))


def read_autoscaler(file: Path) -> Capacity | None:
    """What a cluster launcher's YAML file allows: its head node, and the workers that it may start.

    Returns:
        None where a node type leaves its resources to be detected on the node.

    Raises:
        ConfigError: the file is missing, or no cluster launcher's configuration.
    """
    try:
        values = yaml.safe_load(file.read_text())
        head_type = values["head_node_type"]
        most = int(values.get("max_workers", 2))
        types: dict[str, dict[str, Any]] = values["available_node_types"]
        head = types[head_type].get("resources", {})
        # As the autoscaler fills them in: of any type as many as of all, of the head's no other.
        workers = {
            name: (
                kind.get("resources", {}),
                int(kind.get("max_workers", 0 if name == head_type else most)),
            )
            for name, kind in types.items()
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"not a cluster launcher's configuration: {type(error).__name__}: {error}", where=str(file)
        ) from None
    if not head or not all(resources for resources, count in workers.values() if count):
        return None
    startable = tuple(NodeType(resources, count) for resources, count in workers.values() if count)
    return Capacity((head,), startable, most)


def _fits(bundle: Bundle, node: Bundle) -> bool:
    return all(amount <= node.get(name, 0.0) + _ROUNDING for name, amount in bundle.items())


def _amount(amount: float, name: str) -> str:
    return f"{amount:g} {name}" if amount == 1 else f"{amount:g} {name}s"


def _size(bundle: Bundle) -> tuple[float, float]:
    return bundle.get("GPU", 0.0), bundle.get("CPU", 0.0)


def _names(bundles: Sequence[Bundle]) -> list[str]:
    return sorted({name for bundle in bundles for name in bundle})


def _usable_gpus() -> int:
    if not any(Path(driver).exists() for driver in GPU_DRIVERS):
        return 0
    import torch

    return torch.cuda.device_count()
