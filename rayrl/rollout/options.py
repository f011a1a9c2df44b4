"""Options of the collect stage."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from rayrl.config import Config


class CollectOptions(Config):
    """Which demonstrations to collect, and how many."""

    demonstrators: dict[str, PositiveFloat] = Field(default={})
    """Share of the steps by demonstrator; shares are relative to their sum."""
    steps: PositiveInt = 8192
    """Environment steps, over all demonstrators; exactly."""
    envs: PositiveInt = 8
    """Episodes that a demonstrator plays side by side."""
    workers: NonNegativeInt = 0
    """Ray actors that collect side by side, one CPU each; 0 collects in the process that asks. Whoever
    collects, the demonstrations are the same."""
    seed: NonNegativeInt = 0
    """Seed of the environment and of demonstrators that draw; all trials share these demonstrations."""
