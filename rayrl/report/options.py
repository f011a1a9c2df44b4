"""Options of the report stage."""

from __future__ import annotations

from pydantic import PositiveFloat

from rayrl.config import Config


class ReportOptions(Config):
    """What the report compares with."""

    reference: str | None = None
    """The demonstrator that scores 1, random actions scoring 0; null takes ``least_outstanding``, or the one
    with the largest share of the demonstrations. `rayrl list demonstrators` shows those of an environment."""
    target: float | None = None
    """The return up to which steps are counted, cold and warm; null takes the return at `target_score`."""
    target_score: PositiveFloat = 0.95
    """The score whose return is the target, where random actions score 0 and the reference 1. With
    `evaluate.env_config` it needs `train.evaluate_every`: training may then be rewarded differently."""
