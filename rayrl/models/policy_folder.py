"""The policy folder: ``policy.json``, which says what a policy is, and ``weights.safetensors``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from rayrl.config.base import Config
from rayrl.errors import ConfigError, IntegrityError, SpaceError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.costs import acting_parameters, flops
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy import Policy
from rayrl.models.weights import load_weights
from rayrl.storage.atomic import atomic_folder, read_json, write_bytes, write_json
from rayrl.storage.manifest import check_format_version
from rayrl.storage.spaces import space_from_json, space_to_json
from rayrl.storage.versions import versions

DESCRIPTION_FILE = "policy.json"
WEIGHTS_FILE = "weights.safetensors"
FORMAT_VERSION = "1.0"


class PolicyDescription(Config):
    """What ``policy.json`` holds.

    Attributes:
        architecture: the registered name.
        options: the ``ModelConfig`` of the network, whole.
        distribution: the class of the action distribution.
        normalizer: whether the weights hold moments of the observations.
        inference_only: whether the value is left out.
        weights_sha256: digest of ``weights.safetensors``.
        provenance: where the policy comes from, as plain JSON values.
        parameters: numbers that the policy is computed from; None where it was saved without.
        flops: floating point operations of acting on one observation, the largest that the space has room
            for; None where it was saved without.
        created: ISO 8601, UTC.
    """

    format_version: str = FORMAT_VERSION
    architecture: str
    options: dict[str, Any]
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    distribution: str
    normalizer: bool
    inference_only: bool
    weights_sha256: str
    provenance: dict[str, Any]
    parameters: int | None = None
    flops: int | None = None
    versions: dict[str, str]
    created: str


def save_policy(
    path: str | Path, network: ActorCriticNetwork, *, architecture: str, provenance: Mapping[str, Any]
) -> PolicyDescription:
    """Writes a policy folder, whole or not at all; one that stood there is replaced.

    Args:
        path: the folder.
        network: what is saved; the ``network`` of an ``ActorCritic``.
        architecture: the registered name of its configuration.
        provenance: where the policy comes from (run, seed, step), as plain JSON values.

    Raises:
        StorageError: the disk is full or not writable.
        ValueError: ``provenance`` holds NaN or an infinity, which JSON does not have.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    weights = safetensors.torch.save(tensors)
    description = PolicyDescription(
        architecture=architecture,
        options=json.loads(network.config.model_dump_json()),
        observation_space=space_to_json(network.observation_space),
        action_space=space_to_json(network.action_space),
        distribution=type(network.distribution).__name__,
        normalizer=network.normalizer.enabled,
        inference_only=network.inference_only,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        provenance=dict(provenance),
        parameters=acting_parameters(network),
        flops=flops(network),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with atomic_folder(Path(path), "the policy folder") as folder:
        write_bytes(folder / WEIGHTS_FILE, weights, "the policy's weights")
        write_json(folder / DESCRIPTION_FILE, description.model_dump(), "the policy's description")
    return description


def load_policy(path: str | Path, *, device: str | torch.device = "cpu") -> Policy:
    """Reads a policy folder; neither starts nor imports Ray.

    Args:
        path: the folder.
        device: where the policy is to run.

    Raises:
        IntegrityError: a file is missing, damaged, altered, or of a version that is not known.
        PolicyError: the weights are not of the form that the description says.
    """
    folder = Path(path)
    description = read_description(folder)
    where = str(folder / DESCRIPTION_FILE)
    try:
        config = ModelConfig.parse(description.options, where=where)
        observation_space = space_from_json(description.observation_space)
        action_space = space_from_json(description.action_space)
        # Drawing weights that are about to be replaced must not move the caller's random numbers.
        with torch.random.fork_rng(devices=[]):
            network = ActorCriticNetwork(
                observation_space, action_space, config, inference_only=description.inference_only
            )
    except (ConfigError, SpaceError) as error:
        raise IntegrityError(f"the description is damaged: {error.message}", where=where) from error
    state = _read_weights(folder / WEIGHTS_FILE, description.weights_sha256)
    report = load_weights(network, state, where=str(folder / WEIGHTS_FILE))
    return Policy(
        network.to(device),
        architecture=description.architecture,
        provenance=description.provenance,
        report=report,
    )


def read_description(folder: Path) -> PolicyDescription:
    """Reads what a policy folder says about itself.

    Raises:
        IntegrityError: it is missing, damaged, or of a version that is not known.
    """
    path = folder / DESCRIPTION_FILE
    value = read_json(path, "policy description")
    check_format_version(value, FORMAT_VERSION, path)
    try:
        return PolicyDescription.parse(value, where=str(path))
    except ConfigError as error:
        raise IntegrityError(f"the description is damaged: {error.message}", where=str(path)) from None


def _read_weights(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"the weights cannot be read: {error.strerror}", where=str(path)) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise IntegrityError(
            "the weights are altered: their sha256 is not the recorded one",
            where=str(path),
            remedy="save the policy again",
        )
    try:
        weights: dict[str, torch.Tensor] = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise IntegrityError(f"the weights are damaged: {error}", where=str(path)) from error
    return weights
