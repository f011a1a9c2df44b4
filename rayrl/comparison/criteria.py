"""What a decision weighs: qualities, of which more is better, and costs, of which less is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Criterion(Enum):
    """A quality or a cost; its value is the name that experiment files give it a weight by."""

    success = "success"
    efficiency = "efficiency"
    safety = "safety"
    sample_efficiency = "sample_efficiency"
    wall_time = "wall_time"
    gpu_hours = "gpu_hours"
    parameters = "parameters"
    latency = "latency"
    memory = "memory"

    @property
    def is_cost(self) -> bool:
        """Whether less is better."""
        return self in COSTS

    @property
    def words(self) -> str:
        """Its name in text and tables."""
        return _WORDS[self].name

    @property
    def unit(self) -> str:
        """Of its values; empty where they have none."""
        return _WORDS[self].unit

    @property
    def label(self) -> str:
        """Its name with its unit, as headings have it."""
        return f"{self.words} ({self.unit})" if self.unit else self.words


COSTS = (
    Criterion.latency,
    Criterion.wall_time,
    Criterion.gpu_hours,
    Criterion.parameters,
    Criterion.memory,
)
"""In the order in which a figure of quality against cost prefers them."""


@dataclass(frozen=True, slots=True)
class _Words:
    name: str
    unit: str = ""


_WORDS = {
    Criterion.success: _Words("success"),
    Criterion.efficiency: _Words("efficiency"),
    Criterion.safety: _Words("safety"),
    Criterion.sample_efficiency: _Words("sample efficiency"),
    Criterion.wall_time: _Words("wall time", "s"),
    Criterion.gpu_hours: _Words("GPU time", "h"),
    Criterion.parameters: _Words("parameters"),
    Criterion.latency: _Words("latency", "ms"),
    Criterion.memory: _Words("memory", "MiB"),
}
