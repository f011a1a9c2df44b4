"""Samplers whose weights follow from where an item is: uniform, recent, balanced."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pydantic

from rayrl.experience.replay.requests import Picked, Trajectories
from rayrl.experience.replay.samplers.base import Census, Sampler, register_sampler
from rayrl.experience.replay.view import View

Share = Annotated[float, pydantic.Field(gt=0, le=1)]


@register_sampler("uniform")
class Uniform(Sampler):
    """All items are equally likely."""

    def mass(self, view: View, union: Census) -> float:
        """Number of items."""
        return float(view.count)

    def draw(self, view: View, n: int, union: Census, generator: np.random.Generator) -> Picked:
        """Draws items, all equally likely."""
        return view.uniform(n, generator)


@register_sampler("recent")
class Recent(Sampler):
    """Only new items, all equally likely.

    Steps and fragments: those whose first step is among the newest share of the steps of its partition.
    Trajectories: the newest share of them, by when they began. Each shard gives the newest share of its own,
    which is that of the union where shards are filled at the same pace.
    """

    fraction: Share = 0.1
    """The share."""

    def mass(self, view: View, union: Census) -> float:
        """Number of new items."""
        if isinstance(view.target, Trajectories):
            return float(np.ceil(self.fraction * len(view.candidates.entry)))
        return float(len(view.newest(self.fraction)))

    def draw(self, view: View, n: int, union: Census, generator: np.random.Generator) -> Picked:
        """Draws new items, all equally likely."""
        if isinstance(view.target, Trajectories):
            weights = np.zeros(len(view.candidates.entry))
            weights[-int(np.ceil(self.fraction * len(weights))) :] = 1
            return view.of_trajectories(weights, n, generator)
        newest = view.newest(self.fraction)
        return newest.take(generator.integers(0, len(newest), n))


@register_sampler("balanced")
class Balanced(Sampler):
    """All domains of the union are equally likely, and within a domain all items."""

    def census(self, view: View) -> Census:
        """Number of items of each domain."""
        return {domain: np.array([items], np.float64) for domain, items in view.items_by("domain").items()}

    def mass(self, view: View, union: Census) -> float:
        """Sum over domains of the share of the domain's items that are here."""
        # Items of domain d weigh 1 / N_d, with N_d their number in the union.
        return sum(items / float(union[domain].sum()) for domain, items in view.items_by("domain").items())

    def draw(self, view: View, n: int, union: Census, generator: np.random.Generator) -> Picked:
        """Draws domains, then of each domain items, all equally likely."""
        here = view.items_by("domain")
        shares = np.array([items / float(union[domain].sum()) for domain, items in here.items()])
        counts = generator.multinomial(n, shares / shares.sum())
        drawn = [
            view.narrow(domain=domain).uniform(int(count), generator)
            for domain, count in zip(here, counts, strict=True)
            if count
        ]
        return Picked.join(drawn).take(generator.permutation(n))
