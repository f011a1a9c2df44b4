"""Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347)."""

from rayrl.algorithms.ppo.algorithm import PPO
from rayrl.algorithms.ppo.config import PPOConfig

__all__ = ["PPO", "PPOConfig"]
