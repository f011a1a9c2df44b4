"""Options of the evaluate stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from rayrl.config import Config
from rayrl.config.paths import existing_path
from rayrl.evaluation.suites import names


def _suite(value: Any) -> Any:
    """A path where it looks like one or there is such a file, read as every input is; else a name."""
    if value is None:
        return None
    if not isinstance(value, str | Path):
        raise ValueError("must be the name of a suite, or the path of a file of levels")
    if value in names():
        return value
    if isinstance(value, Path) or value.endswith(".json") or "/" in value:
        return existing_path(value)
    try:
        return existing_path(value)
    except ValueError:
        return value


class EvaluateOptions(Config):
    """How policies are compared after training."""

    suite: Annotated[Path | str | None, BeforeValidator(_suite)] = None
    """Categories to evaluate in, besides the environment as it is trained on: a registered set's name, or the
    path of a suite of levels, of which each level is played once."""
    levels: PositiveInt | None = None
    """Levels of each category of such a file, its first ones; null for all."""
    categories: dict[str, dict[str, Any]] = Field(default={})
    """Further categories: by name, the options of the environment in which it differs."""
    episodes: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Episodes for each policy in each category, but for those of a suite of levels."""
    seed: NonNegativeInt = 0
    """Names the episodes: all policies and demonstrators play the same ones."""
    max_steps: PositiveInt | None = None
    """Steps after which an episode is cut; null lets the environment end it."""
    episode_timeout_s: PositiveFloat | None = None
    """Seconds after which an episode is cut, between two of its steps; null lets it take its time. Up to 16
    are played side by side, whose seconds are the same."""
    stochastic: bool = False
    """Whether policies play the same episodes also with actions that are drawn, and not the most likely."""
    latency: bool = True
    """Whether the time that the trained policies take to decide is measured."""
    env_config: dict[str, Any] = Field(default={})
    """Options of the environment that differ in evaluation; rayrl's own take their evaluation split. What
    shapes the reward in training does so in evaluation, and is in its returns, unless it is cleared here."""

    @field_validator("levels")
    @classmethod
    def _are_of_a_file(cls, levels: int | None, info: ValidationInfo) -> int | None:
        if levels is not None and not isinstance(info.data.get("suite", Path()), Path):
            raise ValueError(
                "has no effect without a file of levels; name one in evaluate.suite, or leave it out"
            )
        return levels
