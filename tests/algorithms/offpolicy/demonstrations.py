"""Demonstrations in CartPole's spaces that are easy to tell from rollouts."""

import numpy as np

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import offsets_of


def sevens(episodes: int, steps: int) -> TrajectoryBatch:
    """Whole episodes whose every reward is 7."""
    rows = episodes * steps
    rng = np.random.default_rng(0)
    return TrajectoryBatch(
        {
            "obs": rng.uniform(-0.1, 0.1, (rows, 4)).astype(np.float32),
            "actions": rng.integers(0, 2, rows),
            "rewards": np.full(rows, 7, np.float32),
        },
        offsets_of(np.full(episodes, steps)),
        {
            "episode_id": np.arange(episodes * 2, dtype=np.uint64).reshape(episodes, 2),
            "first_step": np.zeros(episodes, np.int64),
            "terminated": np.ones(episodes, np.bool_),
            "truncated": np.zeros(episodes, np.bool_),
            "final_obs": np.zeros((episodes, 4), np.float32),
        },
    )
