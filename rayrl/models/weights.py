"""Loading weights strictly, with a report of what was loaded."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
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
        left: names that the module has and that were not asked for.
        unused: names that the weights have and that were not asked for, or are of no use to the module.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    left: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the weights and the module are of one form, so that all that was asked for was loaded."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors fit"]
        for kind in ("missing", "unexpected", "mismatched"):
            if names := getattr(self, kind):
                lines.append(f"{kind}: {', '.join(names)}")
        if self.left or self.unused:
            lines.append(f"loaded: {', '.join(self.loaded)}")
            lines.append(f"not loaded, left as they are: {', '.join(self.left) or 'none'}")
            lines.append(f"not used of the weights: {', '.join(self.unused) or 'none'}")
        return "; ".join(lines)


def load_weights(
    module: nn.Module,
    state: Mapping[str, torch.Tensor | np.ndarray[Any, Any]],
    *,
    strict: bool = True,
    only: Sequence[str] = (),
    where: str = "weights",
) -> LoadReport:
    """Copies weights into a module by name.

    Args:
        module: what receives them, on whatever device.
        state: tensors or arrays by the names of ``module.state_dict()``; they are copied.
        strict: refuse weights that are not of the module's form, and then change nothing. Otherwise what fits
            is loaded, and the report tells the rest.
        only: patterns, as of a shell, of the names to load; each must match some of the weights. What they
            match on either side must be on both. Empty for all.
        where: what to name in an error.

    Raises:
        PolicyError: with ``strict``, when any tensor is missing, unexpected or of another shape or type;
            without, when nothing at all would be loaded.
    """
    whole = module.state_dict()
    own = {name: tensor for name, tensor in whole.items() if _asked_for(name, only)}
    # Arrays from Ray's object store are read-only, which only torch.tensor, copying, takes without a warning.
    given = {
        name: value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for name, value in state.items()
        if _asked_for(name, only)
    }
    if idle := [pattern for pattern in only if not fnmatch.filter(state, pattern)]:
        raise PolicyError(
            f"{', '.join(idle)} matches none of the weights: {', '.join(state)}",
            where=where,
            remedy="give patterns of these names",
        )
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
        left=tuple(name for name in whole if name not in own),
        unused=tuple(name for name in state if name not in given),
    )
    if (strict and not report.complete) or not report.loaded:
        raise PolicyError(
            f"the weights do not fit the network: {report}",
            where=where,
            remedy="use the architecture, its options and the spaces that the weights were made with",
        )
    module.load_state_dict({name: given[name] for name in report.loaded}, strict=False)
    return report


def _asked_for(name: str, only: Sequence[str]) -> bool:
    return not only or any(fnmatch.fnmatchcase(name, pattern) for pattern in only)


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
