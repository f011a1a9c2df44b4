"""The fixtures of ``run_fixtures``."""

from run_fixtures import cluster, counting, file, folder, prepared, ray_by_hand, rayrl, watch

__all__ = ["cluster", "counting", "file", "folder", "prepared", "ray_by_hand", "rayrl", "watch"]
