"""Scenarios: an environment under other circumstances, in which demonstrations show how to recover.

A scenario replaces some options of the environment; spaces and everything else stay as in training. One that
has several variants (each replica slowed, say) goes through them in turn. An environment registers its own
scenarios by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rayrl.config.base import nearest
from rayrl.envs.spec import EnvSpec, import_env_module
from rayrl.errors import ConfigError

AS_TRAINED = "as_trained"
"""The environment as it is trained on."""

Changes = Mapping[str, Any]
"""Options of the environment that a scenario replaces."""


class ScenarioSet(NamedTuple):
    """What an environment's registered function makes of its options."""

    kept: Changes
    """What every scenario fixes to what it is in training, such as units that would follow the load."""
    named: Mapping[str, Sequence[Changes]]
    """Scenarios by name, each with its variants."""


_entry_points: dict[str, str] = {}


def register_scenarios(env_id: str, entry_point: str) -> None:
    """Registers ``module:function``, which takes the environment's options and gives a ``ScenarioSet``."""
    _entry_points[env_id] = entry_point


def scenarios_of(env: EnvSpec) -> ScenarioSet:
    """The registered scenarios of an environment with its options; none where none are registered.

    Raises:
        EnvError: the environment's module cannot be imported.
    """
    import_env_module(env.id)
    if env.id not in _entry_points:
        return ScenarioSet({}, {})
    module, _, function = _entry_points[env.id].partition(":")
    made: ScenarioSet = getattr(importlib.import_module(module), function)(env.config)
    return made


def scenario_variants(env: EnvSpec, scenarios: Mapping[str, Changes | None]) -> dict[str, list[Changes]]:
    """The options that each scenario replaces, for each of its variants.

    Args:
        env: the environment as it is trained on.
        scenarios: changes by name; None takes the registered scenario of that name.

    Raises:
        ConfigError: there is no registered scenario of that name.
    """
    if not scenarios:
        return {}
    known = scenarios_of(env)
    variants: dict[str, list[Changes]] = {}
    for name, changes in scenarios.items():
        if changes is None and name not in known.named:
            hint = nearest(name, known.named) if known.named else f"{env.id} has none by name"
            raise ConfigError(
                f"there is no scenario {name!r} of {env.id}",
                where="collect.scenarios",
                remedy=f"{hint}; or give it as {{share: …, env_config: …}}",
            )
        found = known.named[name] if changes is None else [changes]
        variants[name] = [{**known.kept, **each} for each in found]
    return variants


def scenario_specs(env: EnvSpec, variants: Mapping[str, Sequence[Changes]]) -> dict[str, tuple[EnvSpec, ...]]:
    """The environment in each scenario's variants, with its options checked.

    Raises:
        ConfigError: an option is unknown or wrong.
    """
    return {
        name: tuple(
            EnvSpec.parse(
                {"id": env.id, "config": {**env.config, **changes}}, where=f"collect.scenarios.{name}"
            )
            for changes in each
        )
        for name, each in variants.items()
    }
