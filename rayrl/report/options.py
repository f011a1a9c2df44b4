"""Options of the report stage."""

from __future__ import annotations

from rayrl.config import Config


class ReportOptions(Config):
    """What the report compares with."""

    reference: str | None = None
    """The demonstrator that scores 1, random actions scoring 0; null takes ``least_outstanding``, or the one
    with the largest share of the demonstrations."""
    target: float | None = None
    """The training return up to which steps are counted, cold and warm; null takes the return at a
    score of 0.95, where random actions score 0 and the reference 1."""
