"""Which environment an experiment uses, and with which options."""

from __future__ import annotations

import importlib
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from rayrl.config import Config

_OPTIONS = {"rayrl/Router-v0": "rayrl.envs.router.config:RouterConfig"}
"""The options model of each of rayrl's own environments."""


class EnvSpec(Config):
    """An environment and its options.

    The options of rayrl's own environments are checked here, and completed with their defaults; those of
    others go to their constructor as they are.
    """

    id: str
    """Any Gymnasium id, or ``module:Class``."""
    config: dict[str, Any] = Field(default={}, validate_default=True)
    """Keyword arguments of the environment."""

    @field_validator("config")
    @classmethod
    def _known_options(cls, config: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        target = _OPTIONS.get(info.data.get("id", ""))
        if target is None:
            return config
        module, name = target.split(":")
        options: type[Config] = getattr(importlib.import_module(module), name)
        return options.parse_within(config).model_dump()
