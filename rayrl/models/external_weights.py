"""Weights from outside of a run: a policy folder, or a file of PyTorch tensors by name."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rayrl.errors import ConfigError, IntegrityError, PolicyError
from rayrl.models.policy_folder import load_policy
from rayrl.models.weights import LoadReport, load_weights
from rayrl.storage.spaces import Spaces

_NESTED = ("model_state_dict", "state_dict")
"""Keys under which training scripts keep the tensors, beside their settings."""
_PREFIXES = ("module.", "_orig_mod.", "network.")
"""What DistributedDataParallel, ``torch.compile`` and RLlib's modules put before every name."""
_RECURRENT = ("gru", "lstm", "rnn")
_SHOWN = 12
_REFUSED = re.compile(r"Unsupported global: GLOBAL (\S+)")
_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError)


@dataclass(frozen=True, slots=True)
class ExternalWeights:
    """Tensors by name, and what is known of the network that they come from.

    Args:
        path: the folder or file.
        state: the tensors, on the CPU.
        architecture: its registered name.
        spaces: of the environments that it was made for; None where only tensors are known.
    """

    path: Path
    state: Mapping[str, torch.Tensor]
    architecture: str
    spaces: Spaces | None

    def load_into(self, network: nn.Module, patterns: tuple[str, ...]) -> LoadReport:
        """Copies the tensors, or those that patterns name, into a network.

        Raises:
            PolicyError: something does not fit; nothing is changed then.
        """
        try:
            return load_weights(network, self.state, only=patterns, where=str(self.path))
        except PolicyError as error:
            if not any(kind in name.lower() for name in self.state for kind in _RECURRENT):
                raise
            remedy = (
                "these seem to be a recurrent network's: of such, the architecture gru is known, with its "
                "own names and shapes (docs/guides/architectures.md)"
            )
            raise PolicyError(error.message, where=error.where, remedy=remedy) from None


def read_external_weights(path: Path, architecture: str | None) -> ExternalWeights:
    """Reads a policy folder or a file of tensors; nothing in it is executed.

    Args:
        path: the folder or file.
        architecture: the registered name, needed for a file of tensors.

    Raises:
        ConfigError: the architecture is missing, or another one than the policy folder's.
        IntegrityError: the folder or the file is damaged.
        PolicyError: the file holds more than tensors and plain values, or no tensors, or some are not finite.
    """
    if path.is_dir():
        policy = load_policy(path)
        if architecture not in (None, policy.architecture):
            raise ConfigError(
                f"architecture = {architecture!r}, and the policy in {path} is {policy.architecture!r}",
                where="pretrain.architecture",
                remedy="leave it out: a policy folder says what it is",
            )
        weights = ExternalWeights(
            path, policy.network.state_dict(), policy.architecture, Spaces(*policy.spaces)
        )
    else:
        state = read_state_dict(path)
        if architecture is None:
            raise ConfigError(
                f"{path} holds tensors alone, and not which network they are of",
                where="pretrain.architecture",
                remedy="name one of `rayrl list architectures`",
            )
        weights = ExternalWeights(path, state, architecture, None)
    broken = [name for name, x in weights.state.items() if x.is_floating_point() and not x.isfinite().all()]
    if broken:
        raise PolicyError(f"not all numbers are finite in {_listed(broken)}", where=str(path))
    return weights


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file that ``torch.save`` wrote, by name.

    A mapping under ``model_state_dict`` or ``state_dict`` is taken where there is one, and prefixes that all
    names share are dropped. PyTorch's restricted unpickler reads it (``weights_only=True``).

    Raises:
        IntegrityError: the file is damaged, or no file of PyTorch's.
        PolicyError: it holds more than tensors and plain values, or no tensors by name.
    """
    where = str(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle protocols; what matters is raised
            value: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *_DAMAGED) as error:
        if refused := _REFUSED.search(str(error)):
            raise PolicyError(
                f"holds more than tensors and plain values: {refused[1]}; reading it could run code, and is "
                "refused",
                where=where,
                remedy="save the tensors alone: torch.save(model.state_dict(), FILE)",
            ) from None
        raise IntegrityError(
            "cannot be read by PyTorch: it is damaged, or torch.save did not write it", where=where
        ) from error
    value = next((value[key] for key in _NESTED if isinstance(value, Mapping) and key in value), value)
    if not isinstance(value, Mapping) or not value:
        found = "nothing" if isinstance(value, Mapping) else f"a {type(value).__name__}"
        raise PolicyError(f"holds {found}, not tensors by name", where=where)
    if others := [str(name) for name, x in value.items() if not isinstance(x, torch.Tensor)]:
        raise PolicyError(
            f"holds what is no tensor: {_listed(others)}",
            where=where,
            remedy=f"give tensors by name, at the top or under {' or '.join(_NESTED)}",
        )
    state = dict(value)
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
