"""View: what a sampler sees of a buffer, the items that a request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.replay import kernels
from rayrl.experience.replay.groups import Where
from rayrl.experience.replay.index import Rows
from rayrl.experience.replay.requests import Picked, Target, Transitions
from rayrl.experience.replay.storage import ReplayStorage

_LEAST_ACCEPTED = 1 / 32
"""Share of wanted rows below which trying rows costs more than listing the trajectories."""


class Candidates(NamedTuple):
    """The trajectories that items can be drawn from, oldest first, each ``(k,)``.

    Args:
        entry: of each in the index.
        items: how many items each has, at least one.
        returned: return of its episode, so far or final.
        score: mean log-likelihood of its actions, NaN where not known.
        length: its steps.
    """

    entry: NDArray[np.int64]
    items: NDArray[np.int64]
    returned: NDArray[np.float64]
    score: NDArray[np.float64]
    length: NDArray[np.int64]


class View:
    """The items of one kind that a filter lets pass, as long as the buffer does not change.

    Args:
        storage: what the buffer holds.
        target: what an item is.
        where: which trajectories items are from.
    """

    def __init__(self, storage: ReplayStorage, target: Target, where: Where) -> None:
        self._storage = storage
        self.index = storage.index
        self.target = target
        self.where = where

    @cached_property
    def count(self) -> int:
        """Number of items."""
        if isinstance(self.target, Transitions):
            return self.index.groups.count(self.where)
        return int(self.candidates.items.sum())

    @cached_property
    def candidates(self) -> Candidates:
        """The trajectories that have items."""
        trajectories = self.index.trajectories.rows
        entries = np.flatnonzero(trajectories["id"] >= 0)
        entries = entries[self.wanted[trajectories["group"][entries]]]
        items = self.target.items(trajectories["length"][entries])
        entries, items = entries[items > 0], items[items > 0]
        order = np.argsort(trajectories["id"][entries])
        entries, items = entries[order], items[order]
        records = trajectories[entries]
        return Candidates(entries, items, records["returned"], records["score"], records["length"])

    @cached_property
    def blocks(self) -> NDArray[np.int64]:
        """Entries of the blocks that items can begin in, partition by partition, oldest first."""
        names = self.where.partition
        entries = [
            block
            for partition in self._storage.partitions
            if names is None or partition.name in names
            for block in partition.blocks
        ]
        return np.array(entries, np.int64)

    @cached_property
    def wanted(self) -> NDArray[np.bool_]:
        """``(groups,)`` which groups the filter lets pass."""
        return self.index.groups.matching(self.where)

    def narrow(self, **where: Any) -> View:
        """The items of some of these trajectories: fields of Where, replaced."""
        return View(self._storage, self.target, replace(self.where, **where))

    def items_by(self, attribute: str) -> dict[str, int]:
        """Number of items for each value of a field of Where."""
        if isinstance(self.target, Transitions):
            return self.index.groups.by(attribute, self.where)
        groups = self.index.trajectories.rows["group"][self.candidates.entry]
        totals = np.bincount(groups, self.candidates.items).astype(np.int64)
        found: dict[str, int] = {}
        for group in np.flatnonzero(totals):
            value = getattr(self.index.groups.members[group], attribute)
            found[value] = found.get(value, 0) + int(totals[group])
        return dict(sorted(found.items()))

    def uniform(self, n: int, generator: np.random.Generator) -> Picked:
        """Draws items, all equally likely, with replacement; there must be one."""
        if isinstance(self.target, Transitions):
            ends = np.cumsum(self.index.blocks.rows["used"][self.blocks], dtype=np.int64)
            accepted = self.count / ends[-1]
            if accepted >= _LEAST_ACCEPTED:
                return self._try_rows(n, ends, accepted, generator)
        return self.of_trajectories(self.candidates.items.astype(np.float64), n, generator)

    def of_trajectories(self, weights: NDArray[np.float64], n: int, generator: np.random.Generator) -> Picked:
        """Draws trajectories by weight, with replacement, and of each an item, all equally likely.

        Args:
            weights: ``(k,)`` of the candidates; not all may be 0.
            n: how many.
            generator: what to draw from.
        """
        found = self.candidates
        sums = np.cumsum(weights)
        chosen = np.searchsorted(sums, generator.random(n) * sums[-1], side="right")
        chosen = np.minimum(chosen, np.flatnonzero(weights)[-1])
        position = generator.integers(0, found.items[chosen])
        where = np.empty((2, n), np.int64)
        kernels.locate(
            found.entry[chosen], position, self.index.pieces.rows, self.index.trajectories.rows, where
        )
        return Picked(where[0], where[1])

    def newest(self, fraction: float) -> Picked:
        """All items whose first step is among the newest share of the steps of its partition."""
        parts = [
            self._newest_of(list(partition.blocks), int(np.ceil(fraction * partition.counters.steps)))
            for partition in self._storage.partitions
            if self.where.partition is None or partition.name in self.where.partition
        ]
        return Picked.join(parts)

    def _newest_of(self, blocks: Sequence[int], steps: int) -> Picked:
        none = np.empty(0, np.int64)
        parts = [Picked(none, none, none)]
        for block in reversed(blocks):
            if steps <= 0:
                break
            live = self.index.live_rows(block)
            newest = Rows(*(column[-steps:] for column in live))
            steps -= len(newest.row)
            begins = self.wanted[self.index.group_of(newest.block, newest.row)] & self._begins(newest)
            parts.append(Picked(newest.block, newest.row, newest.offset).take(np.flatnonzero(begins)))
        return Picked.join(parts[::-1])

    def _begins(self, rows: Any) -> NDArray[np.bool_]:
        """Whether an item begins at each of some rows."""
        begins = np.ones(len(rows.row), np.bool_)
        length = getattr(self.target, "length", 1)
        if length > 1:
            kernels.goes_on(rows.block, rows.row, length, self.index.piece_of, self.index.pieces.rows, begins)
        return begins

    def _try_rows(
        self, n: int, ends: NDArray[np.int64], accepted: float, generator: np.random.Generator
    ) -> Picked:
        """Draws among all row ids, and keeps those that are live and wanted."""
        out, filled = np.empty((3, n), np.int64), 0
        starts = np.append(0, ends)
        while filled < n:
            tries = int((n - filled) / accepted * 1.05) + 16
            filled = kernels.accept(
                generator.integers(0, int(ends[-1]), tries),
                starts,
                self.blocks,
                self.index.place,
                self.index.piece_of,
                self.index.pieces.rows,
                self.index.trajectories.rows,
                self.wanted,
                not self.wanted.all(),
                out,
                filled,
            )
        return Picked(out[0], out[1], out[2])
