"""The names that an experiment file may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayrl.models.model_config import ModelConfig


def envs() -> list[str]:
    """rayrl's own environments; any other Gymnasium id and ``module:Class`` will do as well."""
    import gymnasium

    import rayrl.envs  # noqa: F401  (registers them)

    return sorted(name for name, spec in gymnasium.registry.items() if spec.namespace == "rayrl")


def architectures() -> list[str]:
    """Registered architectures: what each reads, how it brings that together, and what it is."""
    from rayrl.models import architectures

    names = architectures.names()
    width = max(map(len, names))
    return [f"{name:<{width}}  {_of_architecture(architectures.architecture(name)())}" for name in names]


def _of_architecture(config: ModelConfig) -> str:
    """Its modalities, fusion and memory, and the first sentence of its documentation."""
    if config.modalities is not None:
        reads = ", ".join(f"{key} ({kind})" for key, kind in config.modalities.items())
        facts = f"needs {reads}; fusion {config.fusion.kind}"
    else:
        facts = "reads vectors" if config.state_only else "reads all parts"
    text = " ".join((type(config).__doc__ or "").split()).replace("``", "")
    sentence = text.partition(". ")[0].removesuffix(".")
    return f"{facts} – {sentence}" if sentence else facts


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


def suites() -> list[str]:
    """Registered suites, by the environment that they are for, each with its categories and what it is; the
    file of a suite of levels will do as well."""
    from rayrl.envs.spec import EnvSpec
    from rayrl.evaluation.suites import names_for, suite_categories, suite_summary

    return [
        f"{env}  {name}  {', '.join(suite_categories(EnvSpec(id=env), name))} – {suite_summary(name)}"
        for env in envs()
        for name in names_for(env)
    ]
