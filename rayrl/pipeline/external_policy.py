"""A policy from outside of the run that its warm start begins with: ``pretrain.from``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from rayrl.errors import ConfigError, PolicyError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import architecture, names
from rayrl.models.external_weights import ExternalWeights, read_external_weights
from rayrl.models.policy_folder import read_description
from rayrl.models.weights import LoadReport
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.trial_config import network_config
from rayrl.storage.spaces import Spaces


def built_like_its_policy(experiment: Experiment) -> Experiment:
    """The experiment with the architecture of its external policy, where its file names none.

    Options of the networks that the file gives in ``train.options.model_config`` stay as they are.

    Raises:
        ConfigError: the policy's architecture is not registered here.
        IntegrityError: the policy folder is damaged.
    """
    start, train = experiment.pretrain.from_, experiment.train
    if not experiment.pretrains or start is None:
        return experiment
    values = experiment.to_json()
    if not start.is_dir():
        if experiment.pretrain.architecture is not None:
            values["architectures"] = [experiment.pretrain.architecture]
        return Experiment.model_validate(values)
    description = read_description(start)
    given: dict[str, Any] = dict(train.options.get("model_config") or {})
    name, base = description.architecture, description.architecture
    if name not in names():
        # An experiment's own name for a registered architecture with other options.
        base = min(names(), key=lambda known: len(_changed(description.options, known, {})))
    changed = _changed(description.options, base, given)
    values["architectures"] = [name if name == base else {"name": name, "base": base, **changed}]
    if changed and name == base:
        values["train"]["options"]["model_config"] = given | changed
    return Experiment.model_validate(values)


def _changed(options: Mapping[str, Any], name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a policy that are not the architecture's defaults; those that are given stay as they are."""
    defaults = json.loads(architecture(name)().model_dump_json())
    changed = {key: value for key, value in options.items() if key in defaults and defaults[key] != value}
    sections = {key: changed[key] | given[key] for key in changed if _is_section(given.get(key))}
    return {key: value for key, value in changed.items() if key not in given} | sections


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping)


def external_weights(experiment: Experiment, spaces: Spaces) -> ExternalWeights | None:
    """The weights that pretraining starts from, made for the environment; None where there are none.

    Raises:
        ConfigError, IntegrityError: as ``read_external_weights``.
        PolicyError: the weights cannot be read, or the policy is of other spaces.
    """
    options = experiment.pretrain
    if options.from_ is None:
        return None
    weights = read_external_weights(options.from_, options.architecture)
    differences = spaces.differences(weights.spaces) if weights.spaces else []
    if differences:
        raise PolicyError(
            f"the policy was made for other spaces than those of {experiment.env.id}: "
            + "; ".join(differences),
            where=f"pretrain.from = {options.from_}",
            remedy="give a policy of the same environment and options",
        )
    return weights


def network_with(
    weights: ExternalWeights, experiment: Experiment, name: str, spaces: Spaces, *, seed: int = 0
) -> tuple[ActorCriticNetwork, LoadReport]:
    """An architecture's network as the experiment builds it, with the weights in it.

    Args:
        weights: of ``pretrain.from``.
        experiment: says which of them to load, and the options of the network.
        name: the architecture.
        spaces: of the environment.
        seed: of what is not loaded.

    Raises:
        ConfigError: the file of tensors is of another architecture.
        PolicyError: the weights do not fit.
    """
    named = experiment.pretrain.architecture
    if named not in (None, name):
        raise ConfigError(
            f"pretrain.architecture = {named!r}, and {name!r} is to be trained",
            where="architectures",
            remedy=f"leave architectures out, or set it to [{named}]",
        )
    config = network_config(experiment, name, spaces.action)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ActorCriticNetwork(spaces.observation, spaces.action, config)
    try:
        return network, weights.load_into(network, experiment.pretrain.load)
    except PolicyError as error:
        message = f"the policy does not fit the architecture {name!r}: {error.message}"
        raise PolicyError(message, where=f"pretrain.from = {error.where}", remedy=error.remedy) from None
