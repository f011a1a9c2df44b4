"""Who demonstrates how much in which circumstances: the parts of a dataset of demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rayrl.envs.demonstrators import DemonstratorFactory, demonstrators_for, make_demonstrator
from rayrl.envs.scenarios import Changes, scenario_specs, scenario_variants
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, PolicyError
from rayrl.models.policy_folder import load_policy, read_description
from rayrl.rollout.behavior import Behavior, DemonstratorBehavior
from rayrl.rollout.options import CollectOptions, PolicyDemonstrator, ScenarioOptions
from rayrl.rollout.policy_demonstration import PolicySource
from rayrl.rollout.vector_env import make_vector_env
from rayrl.storage.spaces import Spaces

BehaviorSource = Callable[[int], Behavior]
"""Makes a demonstrator's behaviour from a seed; goes to other processes."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one demonstrator does in one scenario.

    Args:
        demonstrator: its name.
        scenario: the circumstances.
        index: place among the parts; names the part's randomness.
        steps: how much there is to be of it.
    """

    demonstrator: str
    scenario: str
    index: int
    steps: int


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to collect, all names resolved.

    Args:
        spaces: of the environment.
        parts: in the order in which they take turns.
        sources: what makes each demonstrator's behaviour.
        variants: the options that each scenario replaces, for each of its variants.
        envs: the environment in each scenario's variants.
        made_of: what decides the demonstrations, as plain JSON values.
    """

    spaces: Spaces
    parts: tuple[Part, ...]
    sources: Mapping[str, BehaviorSource]
    variants: Mapping[str, Sequence[Changes]]
    envs: Mapping[str, tuple[EnvSpec, ...]]
    made_of: Mapping[str, Any]


def plan_demonstrations(env: EnvSpec, options: CollectOptions) -> DemoPlan:
    """Resolves the names of demonstrators and scenarios, and looks whether they fit the environment.

    Raises:
        ConfigError: no demonstrator is named, a name is unknown or taken, or a scenario has other spaces.
        PolicyError: a policy has other spaces.
        IntegrityError: a policy folder is damaged.
        EnvError: the environment cannot be built, as trained or in a scenario.
        DataError: a demonstrator cannot be made.
    """
    if not options.demonstrators:
        raise ConfigError("no demonstrator is named", where="collect.demonstrators", remedy="name one")
    spaces = spaces_of(env)
    sources = {
        name: _source(env, name, given, spaces, options.seed) for name, given in options.demonstrators.items()
    }
    given = {
        name: each.env_config if isinstance(each, ScenarioOptions) else None
        for name, each in options.scenarios.items()
    }
    variants = scenario_variants(env, given)
    envs = scenario_specs(env, variants)
    for name, specs in envs.items():
        for spec in specs:
            if differences := spaces.differences(spaces_of(spec)):
                raise ConfigError(
                    f"its spaces are not those of the training: {'; '.join(differences)}",
                    where=f"collect.scenarios.{name}",
                    remedy="leave out the options that change them",
                )
    steps = steps_of_each(options.shares, options.steps)
    pairs = [
        (name, scenario, share)
        for name, of_name in steps.items()
        for scenario, share in steps_of_each(options.scenario_shares, of_name).items()
    ]
    parts = tuple(Part(name, scenario, index, share) for index, (name, scenario, share) in enumerate(pairs))
    collected = options.model_dump(mode="json", exclude={"workers", "demonstrators", "scenarios"})
    collected["demonstrators"] = {name: _identity(each) for name, each in options.demonstrators.items()}
    if options.scenarios:
        collected["scenarios"] = {
            name: {"share": options.scenario_shares[name], "variants": [spec.config for spec in specs]}
            for name, specs in envs.items()
        }
    return DemoPlan(spaces, parts, sources, variants, envs, collected)


def spaces_of(env: EnvSpec) -> Spaces:
    """The spaces of an environment, which is built for it.

    Raises:
        EnvError: it is unknown, or its constructor raised.
    """
    probe = make_vector_env(env.id, env.config, 1)
    spaces = Spaces(probe.single_observation_space, probe.single_action_space)
    probe.close()
    return spaces


def steps_of_each(shares: Mapping[str, float], steps: int) -> dict[str, int]:
    """Divides steps by shares, to the nearest step, so that they add up."""
    names, values = list(shares), np.array(list(shares.values()))
    bounds = np.round(np.cumsum(values) / values.sum() * steps).astype(int)
    return dict(zip(names, np.diff(bounds, prepend=0).tolist(), strict=True))


def _source(
    env: EnvSpec, name: str, given: float | PolicyDemonstrator, spaces: Spaces, seed: int
) -> BehaviorSource:
    known = demonstrators_for(env.id)
    if not isinstance(given, PolicyDemonstrator):
        make_demonstrator(env.id, name, seed=seed)  # is there one of that name?
        return partial(_program, name, known[name])
    where = f"collect.demonstrators.{name}"
    if name in known:
        raise ConfigError(
            f"{name!r} is a demonstrator of {env.id} already",
            where=where,
            remedy="give the policy another name",
        )
    policy = load_policy(given.policy)
    if differences := spaces.differences(Spaces(*policy.spaces)):
        raise PolicyError(
            f"the policy was made for other spaces than those of {env.id}: {'; '.join(differences)}",
            where=f"{where}.policy = {given.policy}",
            remedy="give a policy of the same environment and options",
        )
    return PolicySource(given.policy, read_description(given.policy).weights_sha256, given.deterministic)


def _program(name: str, factory: DemonstratorFactory, seed: int) -> Behavior:
    return DemonstratorBehavior(name, factory(seed=seed))


def _identity(given: float | PolicyDemonstrator) -> Any:
    """What stands for a demonstrator: of a policy the weights, wherever they are."""
    if not isinstance(given, PolicyDemonstrator):
        return given
    values = given.model_dump(mode="json", exclude={"policy"})
    return values | {"weights_sha256": read_description(given.policy).weights_sha256}
