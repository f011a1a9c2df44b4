"""Datasets whose right answers are known."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import TRAJECTORY_COLUMNS
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import offsets_of
from rayrl.storage.spaces import Spaces

OBSERVATION = gym.spaces.Box(-5, 5, (2,), np.float32)
ACTIONS: dict[str, gym.Space[Any]] = {
    "discrete": gym.spaces.Discrete(2, start=3),
    "multi-discrete": gym.spaces.MultiDiscrete([2, 3]),
    "box": gym.spaces.Box(np.float32([-2, 0]), np.float32([2, 10])),
}


def right_actions(kind: str, observations: np.ndarray) -> np.ndarray:
    """What a demonstrator does: (N, 2) observations to (N, ...) actions."""
    x, y = observations.T
    if kind == "discrete":
        return 3 + (x > 0).astype(np.int64)
    if kind == "multi-discrete":
        return np.stack([x > 0, 1 + np.sign(y)], 1).astype(np.int64)
    return np.stack([np.tanh(x), 5 + np.tanh(y)], 1).astype(np.float32)


def write_demonstrations(
    path: Path, kind: str = "discrete", *, episodes: int = 30, length: int = 20, noise: float = 0.0
) -> Path:
    """Episodes of right actions; of discrete ones a share ``noise`` is drawn anew, at random."""
    rng = np.random.default_rng(0)
    lengths = np.full(episodes, length)
    rows = int(lengths.sum())
    observations = rng.uniform(-2, 2, (rows, 2)).astype(np.float32)
    actions = right_actions(kind, observations)
    if noise:
        actions = np.where(rng.random(rows) < noise, 3 + rng.integers(0, 2, rows), actions)
    empty = {
        name: np.zeros((episodes, *spec.shape), spec.dtype)
        for name, spec in TRAJECTORY_COLUMNS.items()
        if spec.kind == "array"
    }
    batch = TrajectoryBatch(
        {"obs": observations, "actions": actions, "rewards": np.ones(rows, np.float32)},
        offsets_of(lengths),
        {
            **empty,
            "episode_id": np.stack([np.zeros(episodes), np.arange(episodes)], 1).astype(np.uint64),
            "terminated": np.ones(episodes, np.bool_),
            "final_obs": np.zeros((episodes, 2), np.float32),
        },
    )
    spaces = Spaces(OBSERVATION, ACTIONS[kind])
    with DatasetWriter(path, spaces=spaces, env=EnvInfo(id="Test-v0")) as writer:
        writer.append(batch)
        writer.finish()
    return path
