"""What a sampler is, and the registry of samplers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from rayrl.config.base import Config, nearest
from rayrl.errors import ConfigError
from rayrl.experience.replay.requests import Picked
from rayrl.experience.replay.view import View

Census = Mapping[str, NDArray[np.float64]]
"""What the shards have to know of one another: arrays by name. That of the union has them laid end to end."""


class Sampler(Config):
    """Says how likely each item is, on one shard and over the union of several.

    An item's weight may depend on the item and on the union's census, not on the shard that it is in. Then n
    items of the union are drawn exactly by drawing from each shard as many as a multinomial over the shards'
    masses says. The fields of a subclass are its options.
    """

    name: ClassVar[str] = ""
    """Under which it is registered."""
    needs_scores: ClassVar[bool] = False
    """Whether trajectories must be scored by an agent first, which training does not do."""

    def census(self, view: View) -> Census:
        """What this shard contributes to what all must know; nothing unless a subclass says so."""
        return {}

    @abstractmethod
    def mass(self, view: View, union: Census) -> float:
        """Sum of the weights of this shard's items."""

    @abstractmethod
    def draw(self, view: View, n: int, union: Census, generator: np.random.Generator) -> Picked:
        """Draws items by weight, independently and with replacement; the mass is not 0."""

    def correction(self, weights: NDArray[np.float64], mass: float, items: int) -> NDArray[np.float64] | None:
        """What to multiply losses with to correct for the weights; nothing unless a subclass says so.

        Samples have it scaled so that the largest of them is 1.

        Args:
            weights: ``(n,)`` what the drawn items weighed, as ``draw`` gave them.
            mass: sum of the weights of all items of the union.
            items: number of all items of the union.
        """
        return None


_SAMPLERS: dict[str, type[Sampler]] = {}
S = TypeVar("S", bound=type[Sampler])


def register_sampler(name: str) -> Callable[[S], S]:
    """Registers a subclass of Sampler by name; a name that is taken goes to the newer one."""

    def register(kind: S) -> S:
        kind.name = name
        _SAMPLERS[name] = kind
        return kind

    return register


def make_sampler(sampler: str | Sampler, **options: Any) -> Sampler:
    """A sampler by its registered name, with options; one that is made already is given back.

    Raises:
        ConfigError: no sampler has this name, or an option is wrong.
    """
    if isinstance(sampler, Sampler):
        return sampler
    if sampler not in _SAMPLERS:
        raise ConfigError(f"no sampler is named {sampler!r}; {nearest(sampler, _SAMPLERS)}", where="sampler")
    return _SAMPLERS[sampler].parse(options, where=f"sampler {sampler!r}")


def sampler_class(name: str) -> type[Sampler]:
    """The class that is registered by a name."""
    return _SAMPLERS[name]


def is_rayrls_own(sampler: Sampler) -> bool:
    """Whether a sampler comes with rayrl; what others draw is checked before it is read."""
    return type(sampler).__module__.startswith(f"{__package__}.")


def sampler_names() -> list[str]:
    """Names of all samplers."""
    return sorted(_SAMPLERS)
