"""Algorithms, as RLlib knows them: configurations to build, tune and checkpoint.

    rayrl.algorithms.PPOConfig().environment("CartPole-v1").build_algo()

The names below are imported when they are first used, since they bring Ray and PyTorch with them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rayrl.algorithms.bc import BC, BCConfig
    from rayrl.algorithms.dqn import DQN, DQNConfig
    from rayrl.algorithms.ppo import PPO, PPOConfig
    from rayrl.algorithms.sac import SAC, SACConfig

__all__ = ["BC", "DQN", "PPO", "SAC", "BCConfig", "DQNConfig", "PPOConfig", "SACConfig"]

_HOMES = {
    "BC": "rayrl.algorithms.bc",
    "BCConfig": "rayrl.algorithms.bc",
    "DQN": "rayrl.algorithms.dqn",
    "DQNConfig": "rayrl.algorithms.dqn",
    "PPO": "rayrl.algorithms.ppo",
    "PPOConfig": "rayrl.algorithms.ppo",
    "SAC": "rayrl.algorithms.sac",
    "SACConfig": "rayrl.algorithms.sac",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
