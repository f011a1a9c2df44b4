"""Deep Q-learning (Mnih et al. 2015): double, dueling, of n steps, from prioritized replay."""

from rayrl.algorithms.dqn.config import DQN, DQNConfig

__all__ = ["DQN", "DQNConfig"]
