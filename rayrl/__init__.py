"""rayrl: distributed reinforcement learning on Ray, from logged experience to compared policies.

The names below are imported when they are first used: ``import rayrl`` itself imports neither Ray nor
PyTorch, nor does ``rayrl.open_dataset``; ``rayrl.load_policy`` needs PyTorch alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rayrl import algorithms
    from rayrl.evaluation.evaluator import evaluate
    from rayrl.experience.dataset import open_dataset
    from rayrl.models.policy_folder import load_policy
    from rayrl.pipeline.run import run
    from rayrl.rollout.demos import collect

__all__ = ["algorithms", "collect", "evaluate", "load_policy", "open_dataset", "run"]

_HOMES = {
    "collect": "rayrl.rollout.demos",
    "evaluate": "rayrl.evaluation.evaluator",
    "load_policy": "rayrl.models.policy_folder",
    "open_dataset": "rayrl.experience.dataset",
    "run": "rayrl.pipeline.run",
}


def __getattr__(name: str) -> Any:
    if name == "algorithms":
        return importlib.import_module("rayrl.algorithms")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
