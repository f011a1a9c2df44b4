"""Options of a comparison: what counts for how much."""

from __future__ import annotations

from typing import Any, Self

from pydantic import NonNegativeFloat, model_validator

from rayrl.comparison.criteria import Criterion
from rayrl.config import Config
from rayrl.config.base import nearest


class Weights(Config):
    """How much each criterion counts in the decision, relative to the others; 0 leaves it out."""

    success: NonNegativeFloat = 4
    """How often episodes succeed; the score, or else the return, where the environment tells no success."""
    efficiency: NonNegativeFloat = 1
    """How few steps successes take."""
    safety: NonNegativeFloat = 1
    """How few episodes end in death."""
    sample_efficiency: NonNegativeFloat = 1
    """How early in training the policy was good."""
    wall_time: NonNegativeFloat = 0.5
    """Seconds that a trial trained, its pretraining among them."""
    gpu_hours: NonNegativeFloat = 0.5
    """Hours of GPUs that a trial had."""
    parameters: NonNegativeFloat = 0.5
    """Numbers that the policy is computed from, without those of the value alone."""
    latency: NonNegativeFloat = 1
    """Time that one decision takes, the median at a batch of 1."""
    memory: NonNegativeFloat = 0.5
    """The most memory that a trial had."""

    @model_validator(mode="before")
    @classmethod
    def _known_criteria(cls, given: Any) -> Any:
        names = [criterion.value for criterion in Criterion]
        for name in given if isinstance(given, dict) else ():
            if name not in names:
                raise ValueError(
                    f"there is no criterion {name!r}; {nearest(str(name), names)} "
                    f"Criteria are {', '.join(names)}"
                )
        return given

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not any(self.of(criterion) for criterion in Criterion):
            raise ValueError("one weight at least must be above 0")
        return self

    def of(self, criterion: Criterion) -> float:
        """The weight of a criterion."""
        weight: float = getattr(self, criterion.value)
        return weight


class CompareOptions(Config):
    """How architectures and conditions are held against each other in the report."""

    weights: Weights = Weights()
    """How much each criterion counts in the decision."""
