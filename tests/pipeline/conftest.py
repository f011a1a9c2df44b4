"""The fixtures of ``run_fixtures`` and ``replay_fixtures``."""

from replay_fixtures import replay_trial
from run_fixtures import cluster, counting, file, folder, prepared, ray_by_hand, rayrl, watch

__all__ = [
    "cluster",
    "counting",
    "file",
    "folder",
    "prepared",
    "ray_by_hand",
    "rayrl",
    "replay_trial",
    "watch",
]
