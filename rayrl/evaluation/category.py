"""A category of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Category:
    """What is played in one category."""

    changes: Mapping[str, Any]
    """Options of the environment that differ."""
    levels: tuple[str, ...] = ()
    """The levels that are played, one episode each, whose environment is reset with its number; without any,
    the evaluation's seed names the episodes."""
