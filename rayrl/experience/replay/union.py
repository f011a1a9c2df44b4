"""Drawing from one shard or several as from one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.replay.requests import Request
from rayrl.experience.replay.samplers import Census
from rayrl.experience.replay.samples import Sample, Tensors, TransitionSample


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


@dataclass(frozen=True, slots=True)
class Drawn:
    """Items that were drawn from the union, still in parts: one of each shard that gave some.

    Args:
        parts: samples, or references to samples in the object store.
        shards: of which shard each part is.
        request: what was drawn.
        mass: sum of the weights of all items of the union.
        items: number of all items of the union.
        generator: brings the items into random order.
    """

    parts: tuple[Any, ...]
    shards: tuple[int, ...]
    request: Request
    mass: float
    items: int
    generator: np.random.Generator

    def fetch(self, *, scaled: bool = True) -> Any:
        """The sample, joined, in random order, with importance weights where the sampler has such.

        Args:
            scaled: scale these so that the largest is 1; without, those of several draws have one scale.
        """
        parts = [
            replace(part, shards=np.full(len(part), shard)) if isinstance(part, TransitionSample) else part
            for part, shard in zip(fetched(self.parts), self.shards, strict=True)
        ]
        joined = type(parts[0]).join(parts)
        if isinstance(joined, TransitionSample) and joined.weights is not None:
            correction = self.request.sampler.correction(joined.weights, self.mass, self.items)
            if correction is not None:
                largest = correction.max() if scaled else 1.0
                correction = (correction / largest).astype(np.float32)
            joined = replace(joined, weights=correction)
        return joined.take(self.generator.permutation(len(joined))) if len(parts) > 1 else joined


def fetched(parts: Sequence[Any]) -> list[Any]:
    """Samples as they are, and those that are references from the object store."""
    remote = [part for part in parts if not isinstance(part, Tensors)]
    if not remote:
        return list(parts)
    import ray

    arrived = iter(ray.get(remote))
    return [part if isinstance(part, Tensors) else next(arrived) for part in parts]


def sample(shards: Sequence[Shard], request: Request, n: int, generator: np.random.Generator) -> Any:
    """Draws n items from the union of shards that are in this process; see ``draw``."""
    return draw(shards, request, [n], generator)[0].fetch()


def draw(
    shards: Sequence[Shard], request: Request, sizes: Sequence[int], generator: np.random.Generator
) -> list[Drawn]:
    """Draws samples from the union of shards, items independently and with replacement.

    How many come from each shard is multinomial in the shards' masses, so that each item is as likely as if
    all shards were one. Each sample is in random order.

    Args:
        shards: at least one.
        request: what to draw.
        sizes: items of each sample, such as one sample for each learner.
        generator: what to draw from; each shard draws from a child of it.

    Raises:
        DataError: no item of the union can be drawn.
    """
    union = unite([shard.census(request) for shard in shards])
    plan = split([shard.offer(request, union) for shard in shards], request, sizes, generator)
    drawn = []
    for counts, child in zip(plan.counts, streams_of(generator, len(sizes)), strict=True):
        givers = np.flatnonzero(counts).tolist()
        streams = streams_of(child, len(shards))
        parts = [shards[i].draw(request, int(counts[i]), union, streams[i]) for i in givers]
        drawn.append(Drawn(tuple(parts), tuple(givers), request, plan.mass, plan.items, child))
    return drawn


def streams_of(generator: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Independent generators; a single one is the generator itself, since to make one takes a while."""
    return [generator] if count == 1 else list(generator.spawn(count))


class Plan(NamedTuple):
    """How many items each shard is to give.

    Args:
        counts: int64 ``(samples, shards)``.
        mass: sum of the weights of all items of the union.
        items: number of all items of the union.
    """

    counts: NDArray[np.int64]
    mass: float
    items: int


def split(
    offers: Sequence[Offer], request: Request, sizes: Sequence[int], generator: np.random.Generator
) -> Plan:
    """Splits samples over shards, multinomially by what they offer.

    Raises:
        DataError: they offer nothing.
    """
    if min(sizes) < 1:
        raise ValueError(f"{min(sizes)} items are asked for, and at least 1 must be")
    masses = np.array([offer.mass for offer in offers])
    items = sum(offer.items for offer in offers)
    mass = float(masses.sum())
    if not mass > 0:
        said = (
            f"the sampler {request.sampler.name!r} lets none of {items} pass" if items else "there are none"
        )
        raise DataError(
            f"no {request} to draw: {said}",
            where="replay buffer",
            remedy="add experience first, or ask for shorter fragments or with a wider filter",
        )
    if len(offers) == 1:
        return Plan(np.array(sizes)[:, None], mass, items)
    return Plan(np.array([generator.multinomial(n, masses / mass) for n in sizes]), mass, items)


def unite(parts: Sequence[Census]) -> Census:
    """The census of the union; a name that only some shards have is of these alone."""
    names = sorted({name for part in parts for name in part})
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}
