"""Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905), also of discrete actions."""

from rayrl.algorithms.sac.config import SAC, SACConfig

__all__ = ["SAC", "SACConfig"]
