"""What a policy folder or a file of tensors says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rayrl.errors import PolicyError
from rayrl.models.external_weights import read_state_dict
from rayrl.models.policy_folder import load_policy, read_description
from rayrl.storage.spaces import space_text


def policy_facts(path: Path) -> dict[str, Any]:
    """Plain JSON values: of a folder all, of a file of tensors their names and shapes.

    Raises:
        PolicyError: there is nothing there, or more than tensors and plain values.
        IntegrityError: it is damaged.
    """
    if not path.exists():
        raise PolicyError("there is no such file or folder", where=str(path))
    if not path.is_dir():
        return {"kind": "file of tensors", "tensors": _shapes(read_state_dict(path))}
    description, policy = read_description(path), load_policy(path)
    network = policy.network
    defaults = type(network.config)()
    options = {
        name: value
        for name, value in description.options.items()
        if getattr(network.config, name) != getattr(defaults, name)
    }
    normalizer = network.normalizer
    return {
        "kind": "policy folder",
        "architecture": description.architecture,
        "options that are not the networks' defaults": options,
        "observation space": space_text(network.observation_space),
        "action space": space_text(network.action_space),
        "distribution": description.distribution,
        "observations normalized by": int(normalizer.count) if normalizer.enabled else None,
        "parameters of the policy": description.parameters,
        "operations for the largest observation": description.flops,
        "numbers remembered": network.state_size,
        "has a value network": not description.inference_only,
        "provenance": description.provenance,
        "created": description.created,
        "weights_sha256": description.weights_sha256,
        "tensors": _shapes(network.state_dict()),
    }


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in state.items()}
