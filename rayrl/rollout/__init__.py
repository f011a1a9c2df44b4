"""Rollouts: environments stepped by policies and demonstrators, and cut into trajectories."""
