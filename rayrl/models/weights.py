"""Loading weights strictly, with a report of what was loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from rayrl.errors import PolicyError


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor.

    Attributes:
        loaded: names that were copied into the module.
        missing: names that the module has and the weights have not.
        unexpected: names that the weights have and the module has not.
        mismatched: names whose shapes or element types differ, with what was given and what is needed.
        left_out: names of the weights that the module has no use for, and was not given.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the weights and the module are of one form, so that everything was loaded."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors fit"]
        for kind in ("missing", "unexpected", "mismatched", "left_out"):
            if names := getattr(self, kind):
                lines.append(f"{kind.replace('_', ' ')}: {', '.join(names)}")
        return "; ".join(lines)


def load_weights(
    module: nn.Module,
    state: Mapping[str, torch.Tensor | np.ndarray[Any, Any]],
    *,
    strict: bool = True,
    where: str = "weights",
) -> LoadReport:
    """Copies weights into a module by name.

    Args:
        module: what receives them, on whatever device.
        state: tensors or arrays by the names of ``module.state_dict()``; they are copied.
        strict: refuse weights that are not of the module's form, and then change nothing. Otherwise what fits
            is loaded, and the report tells the rest.
        where: what to name in an error.

    Raises:
        PolicyError: with ``strict``, when any tensor is missing, unexpected or of another shape or type;
            without, when nothing at all would be loaded.
    """
    own = module.state_dict()
    # Arrays from Ray's object store are read-only, which only torch.tensor, copying, takes without a warning.
    given = {
        name: value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for name, value in state.items()
    }
    fits = {name for name in own.keys() & given.keys() if _form(own[name]) == _form(given[name])}
    report = LoadReport(
        loaded=tuple(name for name in own if name in fits),
        missing=tuple(name for name in own if name not in given),
        unexpected=tuple(name for name in given if name not in own),
        mismatched=tuple(
            f"{name} is {_form(given[name])}, not {_form(own[name])}"
            for name in own
            if name in given and name not in fits
        ),
    )
    if (strict and not report.complete) or not report.loaded:
        raise PolicyError(
            f"the weights do not fit the network: {report}",
            where=where,
            remedy="use the architecture, its options and the spaces that the weights were made with",
        )
    module.load_state_dict({name: given[name] for name in report.loaded}, strict=False)
    return report


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
