"""Algorithms by the names that experiment files use, and their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.dqn import DQNConfig
from rayrl.algorithms.ppo import PPOConfig
from rayrl.algorithms.sac import SACConfig
from rayrl.config.base import nearest
from rayrl.errors import ConfigError

_CONFIGS: dict[str, type[ColumnarConfig]] = {"dqn": DQNConfig, "ppo": PPOConfig, "sac": SACConfig}


def names() -> list[str]:
    """The registered algorithms, sorted."""
    return sorted(_CONFIGS)


def algorithm_config(name: str) -> ColumnarConfig:
    """The default options of a registered algorithm.

    Raises:
        ConfigError: there is no such algorithm.
    """
    if name not in _CONFIGS:
        raise ConfigError(
            f"there is no algorithm {name!r}", where="train.algorithm", remedy=nearest(name, _CONFIGS)
        )
    return _CONFIGS[name]()


def set_options(config: ColumnarConfig, options: Mapping[str, Any], *, where: str) -> None:
    """Sets an algorithm's options by the names of its config's attributes.

    Args:
        config: changed in place.
        options: such as ``{"lr": 3e-4, "lambda_": 0.95}``.
        where: what to name in an error.

    Raises:
        ConfigError: a name is unknown, or names no option.
    """
    properties = {
        name
        for cls in type(config).__mro__
        for name, value in vars(cls).items()
        if isinstance(value, property) and value.fset is not None
    }
    known = {name for name in [*vars(config), *properties] if not name.startswith("_")}
    for name, value in options.items():
        if name not in known:
            raise ConfigError(f"{name}: unknown option; {nearest(name, known)}", where=where)
        setattr(config, name, value)
