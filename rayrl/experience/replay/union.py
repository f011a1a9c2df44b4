"""Drawing from one shard or several as from one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from rayrl.errors import DataError
from rayrl.experience.replay.requests import Request
from rayrl.experience.replay.samplers import Census
from rayrl.experience.replay.samples import Sample, TransitionSample


class Offer(NamedTuple):
    """What a shard has of what a request asks for.

    Args:
        mass: sum of the weights of its items.
        items: number of its items.
    """

    mass: float
    items: int


class Shard(Protocol):
    """A part of a replay buffer, wherever it is."""

    def census(self, request: Request) -> Census:
        """What the sampler has to know of this shard before it can weigh items of any."""
        ...

    def offer(self, request: Request, union: Census) -> Offer:
        """How much of the request is here."""
        ...

    def draw(self, request: Request, n: int, union: Census, generator: np.random.Generator) -> Sample:
        """Draws n items from this shard alone; weights are the sampler's own."""
        ...


def sample(shards: Sequence[Shard], request: Request, n: int, generator: np.random.Generator) -> Any:
    """Draws n items from the union of shards, independently and with replacement.

    How many come from each shard is multinomial in the shards' masses, so that each item is as likely as if
    all shards were one. The result is in random order.

    Args:
        shards: at least one.
        request: what to draw.
        n: how many.
        generator: what to draw from; each shard draws from a child of it.

    Raises:
        DataError: no item of the union can be drawn.
    """
    if n < 1:
        raise ValueError(f"{n} items are asked for, and at least 1 must be")
    union = _unite([shard.census(request) for shard in shards])
    offers = [shard.offer(request, union) for shard in shards]
    masses = np.array([offer.mass for offer in offers])
    if not masses.sum() > 0:
        items = sum(offer.items for offer in offers)
        said = (
            f"the sampler {request.sampler.name!r} lets none of {items} pass" if items else "there are none"
        )
        raise DataError(
            f"no {request} to draw: {said}",
            where="replay buffer",
            remedy="add experience first, or ask for shorter fragments or with a wider filter",
        )
    counts = generator.multinomial(n, masses / masses.sum()) if len(shards) > 1 else np.array([n])
    drawn: list[Any] = []
    for number, (shard, count, child) in enumerate(
        zip(shards, counts, generator.spawn(len(shards)), strict=True)
    ):
        if count:
            part = shard.draw(request, int(count), union, child)
            if isinstance(part, TransitionSample):
                part = replace(part, shards=np.full(len(part), number))
            drawn.append(part)
    joined = type(drawn[0]).join(drawn)
    if isinstance(joined, TransitionSample) and joined.weights is not None:
        items = sum(offer.items for offer in offers)
        correction = request.sampler.correction(joined.weights, float(masses.sum()), items)
        joined = replace(joined, weights=correction)
    return joined.take(generator.permutation(n)) if len(drawn) > 1 else joined


def _unite(parts: Sequence[Census]) -> Census:
    """The census of the union; a name that only some shards have is of these alone."""
    names = sorted({name for part in parts for name in part})
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}
