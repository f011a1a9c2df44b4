"""What a replay buffer says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rayrl.experience.replay.groups import Where
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.requests import Trajectories
from rayrl.experience.replay.storage import ReplayStorage
from rayrl.experience.replay.view import View

_COUNTED_BY = {
    "length": "num_trajectories",
    "return": "num_trajectories",
    "on_policiness_score": "num_scored_trajectories",
}


def trajectory_statistics(storage: ReplayStorage) -> dict[str, float]:
    """Numbers and lengths of the trajectories, and their on-policiness scores; NaN where there are none.

    Scores are of those trajectories that have one.
    """
    found = View(storage, Trajectories(), Where()).candidates
    groups = storage.index.trajectories.rows["group"][found.entry]
    splits = np.array([group.split for group in storage.groups.members] or [""])
    sides = splits[groups] if len(groups) else np.empty(0, str)
    scores = found.score[~np.isnan(found.score)]
    return {
        "num_trajectories": len(found.entry),
        "num_train_trajectories": int((sides == "train").sum()),
        "num_val_trajectories": int((sides == "val").sum()),
        "num_steps": int(found.length.sum()),
        **_moments(found.length, "length"),
        **_moments(found.returned, "return"),
        "num_scored_trajectories": len(scores),
        **_moments(scores, "on_policiness_score"),
    }


def partition_statistics(storage: ReplayStorage) -> dict[str, dict[str, Any]]:
    """Of each partition what it holds, may hold, and has counted."""
    return {
        partition.name: {
            "steps": partition.counters.steps,
            "trajectories": partition.counters.trajectories,
            "blocks": len(partition.blocks),
            "capacity": partition.options.capacity,
            "unit": partition.options.unit,
            "eviction": partition.options.eviction,
            "steps_added": partition.counters.steps_added,
            "steps_evicted": partition.counters.steps_evicted,
            "steps_refused": partition.counters.steps_refused,
            "trajectories_added": partition.counters.trajectories_added,
            "trajectories_evicted": partition.counters.trajectories_evicted,
            "duplicates": partition.counters.duplicates,
        }
        for partition in storage.partitions
    }


def merge_trajectories(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The statistics of all trajectories, from those of some of them each."""
    merged: dict[str, float] = {
        name: sum(part[name] for part in parts) for name in parts[0] if name.startswith("num_")
    }
    for name, count in _COUNTED_BY.items():
        merged |= _merged_moments(parts, name, count)
    return {name: merged[name] for name in parts[0]}


def merge_partitions(
    parts: Sequence[Mapping[str, Mapping[str, Any]]], options: ReplayOptions
) -> dict[str, dict[str, Any]]:
    """What all shards together hold of each partition, and have counted."""
    merged = {}
    for name, partition in options.partitions.items():
        given = partition.model_dump()
        merged[name] = {
            key: given[key] if key in given else sum(part[name][key] for part in parts)
            for key in parts[0][name]
        }
    return merged


def _merged_moments(parts: Sequence[Mapping[str, float]], name: str, count: str) -> dict[str, float]:
    held = [part for part in parts if part[count]]
    if not held:
        return _moments([], name)
    counts, means, stds = (
        np.array([part[key] for part in held]) for key in (count, f"mean_{name}", f"std_{name}")
    )
    mean = float((counts * means).sum() / counts.sum())
    # Var = Σ_s n_s (std_s² + (mean_s - mean)²) / n
    variance = float((counts * (stds**2 + (means - mean) ** 2)).sum() / counts.sum())
    return {
        f"mean_{name}": mean,
        f"std_{name}": math.sqrt(variance),
        f"min_{name}": min(part[f"min_{name}"] for part in held),
        f"max_{name}": max(part[f"max_{name}"] for part in held),
    }


def _moments(values: Any, name: str) -> dict[str, float]:
    if not len(values):
        return {f"{kind}_{name}": math.nan for kind in ("mean", "std", "min", "max")}
    return {f"{kind}_{name}": float(getattr(values, kind)()) for kind in ("mean", "std", "min", "max")}
