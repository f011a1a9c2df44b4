"""What a replay buffer says of itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rayrl.experience.replay.groups import Where
from rayrl.experience.replay.requests import Trajectories
from rayrl.experience.replay.storage import ReplayStorage
from rayrl.experience.replay.view import View


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


def _moments(values: Any, name: str) -> dict[str, float]:
    if not len(values):
        return {f"{kind}_{name}": math.nan for kind in ("mean", "std", "min", "max")}
    return {f"{kind}_{name}": float(getattr(values, kind)()) for kind in ("mean", "std", "min", "max")}
