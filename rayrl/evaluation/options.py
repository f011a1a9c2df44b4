"""Options of the evaluate stage."""

from __future__ import annotations

from pydantic import PositiveInt

from rayrl.config import Config


class EvaluateOptions(Config):
    """How policies are compared after training."""

    suite: str | None = None
    """Name of a fixed set of evaluation levels; null takes fixed seeds of the experiment's environment."""
    episodes: PositiveInt = 20
    """Episodes for each policy, and for each category of a suite."""
