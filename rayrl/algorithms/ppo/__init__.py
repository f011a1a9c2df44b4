"""Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347)."""

from rayrl.algorithms.ppo.config import PPO, PPOConfig

__all__ = ["PPO", "PPOConfig"]
