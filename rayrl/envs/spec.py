"""Which environment an experiment uses, and with which options."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from rayrl.config import Config
from rayrl.errors import EnvError

_OPTIONS = {
    "rayrl/Router-v0": "rayrl.envs.router.config:RouterConfig",
    "rayrl/MineMaze-v0": "rayrl.envs.mine_maze.config:MineMazeConfig",
}
"""The options model of each of rayrl's own environments."""


def import_env_module(env_id: str) -> ModuleType | None:
    """Imports the module that stands before the colon of ``module:Class`` or ``module:Id-v0``.

    That module may register environments and demonstrators.

    Raises:
        EnvError: it cannot be imported.
    """
    module = env_id.rpartition(":")[0]
    if not module:
        return None
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EnvError(
            f"module {module!r} cannot be imported: {error}",
            where=f"env {env_id}",
            remedy="give module:Class with a module that is on the Python path",
        ) from error


def own_environments() -> tuple[str, ...]:
    """The ids of rayrl's own environments, whose options have a model."""
    return tuple(_OPTIONS)


def options_model(env_id: str) -> type[Config] | None:
    """The options model of one of rayrl's own environments; None for any other."""
    target = _OPTIONS.get(env_id)
    if target is None:
        return None
    module, name = target.split(":")
    model: type[Config] = getattr(importlib.import_module(module), name)
    return model


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
        options = options_model(info.data.get("id", ""))
        return config if options is None else options.parse_within(config).model_dump()
