"""Pickles in the layouts of the systems that left them, with the classes and modules that those had."""

import pickle
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass
class TrajectoryInfo:
    """As the original's."""

    start_pos: int
    length: int
    split: str
    on_policiness_score: float = 0.0
    last_updated_step: int = 0


TrajectoryInfo.__module__ = "active_rlhf.data.buffers"


def dump(path: Path, value: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    """Pickles a value; classes of the originals are found where they were."""
    names = ["active_rlhf", "active_rlhf.data", "active_rlhf.data.buffers"]
    modules = {name: types.ModuleType(name) for name in names}
    modules[names[-1]].TrajectoryInfo = TrajectoryInfo  # type: ignore[attr-defined]
    sys.modules |= modules
    try:
        with path.open("wb") as file:
            pickle.dump(value, file, protocol)
    finally:
        for name in names:
            del sys.modules[name]
    return path


def buffer(
    obs: Any, dones: Any, rollouts: Sequence[tuple[int, int, str]], *, size: int, pos: int, rewards: Any
) -> dict[str, Any]:
    """A replay buffer as its ``save`` writes it; the action of each row is the negative of its observation.

    Args:
        obs: one number for each row.
        dones: flag of each row.
        rollouts: first row, length and side of each.
        size: rows in use.
        pos: next row to write.
        rewards: of each row.
    """
    obs = torch.tensor(obs, dtype=torch.float32)
    return {
        "capacity": len(obs),
        "fragment_length": 50,
        "size": size,
        "pos": pos,
        "global_step": 77,
        "obs": torch.stack([obs, obs + 0.5], 1),
        "acts": -obs[:, None],
        "rews": torch.tensor(rewards, dtype=torch.float32)[:, None],
        "dones": torch.tensor(dones, dtype=torch.bool)[:, None],
        "trajectories": [TrajectoryInfo(*one, on_policiness_score=-3.5) for one in rollouts],
        "env_obs_shape": (2,),
        "env_act_shape": (1,),
    }


def demonstrations(count: int, *, policies: Sequence[str] = ("round_robin", "lor")) -> dict[str, Any]:
    """A mixed demonstration set: the state of sample i is i in every place, its action i mod 4."""
    data = [
        {"state": np.full(6, i, np.float32), "action": i % 4, "policy": policies[i % len(policies)]}
        for i in range(count)
    ]
    stats = {
        "total_samples": count,
        "policy_distribution": dict.fromkeys(policies, count // len(policies)),
        "action_distribution": dict.fromkeys(range(4), count // 4),
        "state_dim": 6,
    }
    return {"demo_data": data, "stats": stats}


def level(number: int, category: str = "simple") -> dict[str, Any]:
    """A level file's contents."""
    return {
        "level_id": f"{category}_{number:03d}",
        "seed": number,
        "category": category,
        "map_data": [number % 256, *range(200)],
        "metadata": {"difficulty": 0.5, "size": np.int64(3), "tiles": np.arange(4)},
    }
