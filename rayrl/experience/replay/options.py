"""Options of a replay buffer."""

from __future__ import annotations

from typing import Literal

import pydantic

from rayrl.config.base import Config

DEFAULT_PARTITION = "online"


class PartitionOptions(Config):
    """How much one partition holds, and what goes when it is full."""

    capacity: pydantic.PositiveInt | None = 1_000_000
    """Most steps or trajectories; None: no bound."""
    unit: Literal["steps", "trajectories"] = "steps"
    """What ``capacity`` counts."""
    eviction: Literal["fifo", "reservoir", "fixed"] = "fifo"
    """``fifo``: the oldest steps go, or the oldest trajectories. ``reservoir``: what is held is a uniform
    sample of all trajectories ever added. ``fixed``: nothing goes, and what does not fit is refused."""


class PriorityOptions(Config):
    """Priorities of steps (Schaul et al. 2016): a step weighs ``(priority + epsilon) ** alpha``."""

    alpha: pydantic.NonNegativeFloat = 0.6
    epsilon: pydantic.NonNegativeFloat = 1e-6


class ReplayOptions(Config):
    """What a replay buffer holds and how."""

    partitions: dict[str, PartitionOptions] = pydantic.Field(
        default_factory=lambda: {DEFAULT_PARTITION: PartitionOptions()}, min_length=1
    )
    """By name; a batch goes to the first one unless told otherwise."""
    priorities: PriorityOptions | None = None
    """Keep a priority for each step, as the sampler ``prioritized`` needs."""
    val_fraction: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Share of the episodes without a split that are put aside for validation, by a hash of their ids."""
    fragment_length: pydantic.PositiveInt = 50
    """Length of a fragment unless told otherwise."""
    seed: pydantic.NonNegativeInt = 0
    """Of draws, of the validation split and of reservoirs."""
    block_rows: int | None = None
    """Steps of a block, a power of two from 16 to 32,768; None: chosen by capacity and size of a step."""

    @pydantic.field_validator("partitions")
    @classmethod
    def _names_are_folders(cls, partitions: dict[str, PartitionOptions]) -> dict[str, PartitionOptions]:
        for name in partitions:
            if not name or not all(letter.isalnum() or letter in "_-" for letter in name):
                raise ValueError(f"{name!r} is no partition's name: letters, digits, '_' and '-' make one")
        return partitions

    @pydantic.field_validator("block_rows")
    @classmethod
    def _power_of_two(cls, rows: int | None) -> int | None:
        if rows is not None and (rows & (rows - 1) or not 16 <= rows <= 32_768):
            raise ValueError("a block has a power of two of rows, from 16 to 32768")
        return rows
