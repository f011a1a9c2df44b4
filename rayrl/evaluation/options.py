"""Options of the evaluate stage."""

from __future__ import annotations

from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from rayrl.config import Config


class EvaluateOptions(Config):
    """How policies are compared after training."""

    suite: str | None = None
    """Name of a fixed set of evaluation levels; null takes fixed seeds of the experiment's environment."""
    episodes: PositiveInt = 20
    """Episodes for each policy, and for each category of a suite."""
    seed: NonNegativeInt = 0
    """Names the episodes: all policies and demonstrators play the same ones."""
    max_steps: PositiveInt | None = None
    """Steps after which an episode is cut; null lets the environment end it."""
    env_config: dict[str, Any] = Field(default={})
    """Options of the environment that differ in evaluation; rayrl's own take their evaluation split."""
