"""Options of the collect stage."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    NonNegativeInt,
    PlainSerializer,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    SerializationInfo,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from rayrl.config import Config, InputPath
from rayrl.envs.scenarios import AS_TRAINED

Share = Annotated[float, Field(gt=0, le=1)]

UNNAMED = "replay"
"""The demonstrator of a replay that names none."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class PolicyDemonstrator(Config):
    """A policy that demonstrates."""

    policy: InputPath
    """A policy folder whose spaces are the environment's."""
    share: PositiveFloat = 1.0
    """Its share of the steps, relative to the sum of all shares."""
    deterministic: bool = True
    """Takes its most likely actions; otherwise they are drawn from its distribution."""


class ScenarioOptions(Config):
    """Other circumstances, in which a part of the demonstrations is collected."""

    share: Share
    """Share of every demonstrator's steps."""
    env_config: dict[str, Any]
    """Options of the environment that differ from training; they cannot change the spaces."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _demonstrator(value: Any) -> float | PolicyDemonstrator:
    if isinstance(value, PolicyDemonstrator):
        return value
    if isinstance(value, Mapping):
        return PolicyDemonstrator.parse_within(value)
    if not _number(value) or value <= 0:
        raise ValueError("must be a share, a number > 0, or {policy: FOLDER, share: …} of a policy")
    return float(value)


def _scenario(value: Any) -> float | ScenarioOptions:
    if isinstance(value, ScenarioOptions):
        return value
    if isinstance(value, Mapping):
        return ScenarioOptions.parse_within(value)
    if not _number(value) or not 0 < value <= 1:
        raise ValueError("must be a share of the steps in (0, 1], or {share: …, env_config: …}")
    return float(value)


def _dumped(value: float | Config, info: SerializationInfo) -> Any:
    return value.model_dump(mode=info.mode) if isinstance(value, Config) else value


DemonstratorField = Annotated[
    float | PolicyDemonstrator,
    PlainValidator(_demonstrator),
    PlainSerializer(_dumped),
    WithJsonSchema({"description": "number > 0, or of a policy the section below"}),
]
ScenarioField = Annotated[
    float | ScenarioOptions,
    PlainValidator(_scenario),
    PlainSerializer(_dumped),
    WithJsonSchema({"description": "number in (0, 1], or the section below"}),
]


class CollectOptions(Config):
    """Which demonstrations to collect, and how many."""

    demonstrators: dict[str, DemonstratorField] = Field(default={})
    """Share of the steps by demonstrator; shares are relative to their sum. Empty takes the environment's own
    mix (the router has `round_robin`, `least_outstanding` and `random`, equally)."""
    scenarios: dict[str, ScenarioField] = Field(default={})
    """Share of every demonstrator's steps by scenario, the rest being as trained: by the name of one that the
    environment has, or with its own options."""
    replays: InputPath | None = None
    """Replays of the mine maze, a file or a folder of files, in place of demonstrators: they are simulated
    again for the observations of the experiment. `steps`, `envs`, `workers` and `seed` are of demonstrators
    and change nothing then."""
    first_replays: PositiveInt | None = None
    """Takes so many replays at most, the first ones; null takes all."""
    steps: Annotated[int, Field(ge=1, le=10**10)] = 8192
    """Environment steps, over all demonstrators; exactly."""
    envs: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Episodes that a demonstrator plays side by side."""
    workers: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Ray actors that collect side by side, one CPU each; 0 collects in the process that asks. Whoever
    collects, the demonstrations are the same."""
    seed: NonNegativeInt = 0
    """Seed of the environment and of demonstrators that draw; all trials share these demonstrations."""

    @field_validator("demonstrators", "scenarios")
    @classmethod
    def _names(cls, entries: dict[str, Any]) -> dict[str, Any]:
        # Results of demonstrators are files of their names.
        if unfit := [name for name in entries if not _NAME.fullmatch(name)]:
            raise ValueError(f"{unfit[0]!r} is no name: letters, digits, '.', '_' and '-'")
        return entries

    @field_validator("scenarios")
    @classmethod
    def _parts_of_a_whole(cls, scenarios: dict[str, Any]) -> dict[str, Any]:
        if AS_TRAINED in scenarios:
            raise ValueError(f"{AS_TRAINED} is the name of what the scenarios leave")
        total = sum(share_of(scenario) for scenario in scenarios.values())
        if total > 1 + 1e-9:
            raise ValueError(f"the shares of the scenarios add up to {total:g}, more than 1")
        return scenarios

    @field_validator("replays")
    @classmethod
    def _in_place_of_demonstrators(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        for kind in ("demonstrators", "scenarios") if path is not None else ():
            if named := info.data.get(kind):
                raise ValueError(
                    f"stands in the place of demonstrators, and collect.{kind} names {', '.join(named)}; "
                    "leave one of the two out"
                )
        return path

    @field_validator("first_replays")
    @classmethod
    def _are_of_replays(cls, first: int | None, info: ValidationInfo) -> int | None:
        if first is not None and info.data.get("replays", ...) is None:
            raise ValueError("has no effect without collect.replays; name them, or leave it out")
        return first

    @property
    def demonstrates(self) -> bool:
        """Whether demonstrators or replays are named."""
        return bool(self.demonstrators) or self.replays is not None

    @property
    def shares(self) -> dict[str, float]:
        """Share of the steps by demonstrator, relative to their sum."""
        return {name: share_of(given) for name, given in self.demonstrators.items()}

    @property
    def scenario_shares(self) -> dict[str, float]:
        """Share of every demonstrator's steps by scenario, ``as_trained`` first; they add up to 1."""
        shares = {name: share_of(given) for name, given in self.scenarios.items()}
        rest = 1 - sum(shares.values())
        return ({AS_TRAINED: rest} if rest > 1e-9 else {}) | shares


def share_of(given: float | PolicyDemonstrator | ScenarioOptions) -> float:
    """The share that an entry gives, as a number or in its section."""
    return given if isinstance(given, int | float) else given.share
