"""The names that an experiment file may use."""

from __future__ import annotations


def envs() -> list[str]:
    """rayrl's own environments; any other Gymnasium id and ``module:Class`` will do as well."""
    import gymnasium

    import rayrl.envs  # noqa: F401  (registers them)

    return sorted(name for name, spec in gymnasium.registry.items() if spec.namespace == "rayrl")


def architectures() -> list[str]:
    """Registered architectures."""
    from rayrl.models import architectures

    return architectures.names()


def algorithms() -> list[str]:
    """Registered algorithms."""
    from rayrl.algorithms import registry

    return registry.names()


def demonstrators() -> list[str]:
    """Registered demonstrators, by the environment that they serve."""
    from rayrl.envs.demonstrators import demonstrators_for

    return [f"{env}  {name}" for env in envs() for name in sorted(demonstrators_for(env))]


def scenarios() -> list[str]:
    """Registered scenarios, by the environment that has them."""
    from rayrl.envs.scenarios import scenarios_of
    from rayrl.envs.spec import EnvSpec

    return [f"{env}  {name}" for env in envs() for name in sorted(scenarios_of(EnvSpec(id=env)).named)]
