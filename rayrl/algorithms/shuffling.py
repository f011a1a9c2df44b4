"""The minibatches of an epoch: shuffled rows, or shuffled sequences where the policy remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rayrl.algorithms.collective import gather_counts, rank, sum_over_learners
from rayrl.algorithms.minibatches import cut_evenly, plan_minibatches
from rayrl.algorithms.sequence_table import SequenceTable
from rayrl.experience import columns as c
from rayrl.models.observed import TRAJECTORY, expanded
from rayrl.models.sequences import Index, Sequences, pack

Columns = dict[str, Tensor]

BATCH_SIZES = "batch_sizes"
"""Beside the columns of a minibatch of sequences, as ``STATE``: see ``Sequences``."""


def sequences_of(minibatch: Columns) -> Sequences | None:
    """How the rows of a minibatch form sequences; None where they do not."""
    return Sequences(minibatch[BATCH_SIZES], minibatch[c.STATE]) if BATCH_SIZES in minibatch else None


class Shuffled(Protocol):
    """Rows of all learners, cut into minibatches; every learner has its part of each."""

    units: int
    """What this learner shuffles: rows, or sequences."""
    rows: int
    """Rows of all learners."""
    steps: int
    """Minibatches of an epoch."""

    def epoch(self, order: Index) -> Iterator[tuple[Columns, int]]:
        """This learner's part of each minibatch, and how many rows the minibatch has over all learners.

        Args:
            order: ``(units,)`` in which they are taken.
        """
        ...


class ShuffledRows:
    """Minibatches of single rows.

    Args:
        columns: ``(rows, ...)`` tensors.
        minibatch_size: rows of a minibatch per learner, about; None for all at once.
        once: ``(trajectories, ...)`` tensors that a minibatch has for each row, by the column ``TRAJECTORY``.
    """

    def __init__(self, columns: Columns, minibatch_size: int | None, once: Columns | None = None) -> None:
        first = next(iter(columns.values()))
        counts = gather_counts(len(first), first.device)
        plan = plan_minibatches(counts, rank(), minibatch_size)
        self.units, self.rows, self.steps = len(first), sum(counts), plan.steps
        self._columns, self._device, self._once = columns, first.device, once or {}
        self._bounds, self._totals = plan.bounds.tolist(), plan.totals.tolist()

    def epoch(self, order: Index) -> Iterator[tuple[Columns, int]]:
        """Gathers all rows once, and gives slices of them."""
        shuffled = self._columns
        if self.steps > 1:
            index = torch.from_numpy(order).to(self._device)
            shuffled = {name: column.index_select(0, index) for name, column in shuffled.items()}
        for m, total in enumerate(self._totals):
            first, last = self._bounds[m], self._bounds[m + 1]
            minibatch = {name: column[first:last] for name, column in shuffled.items()}
            yield minibatch | expanded(self._once, minibatch.get(TRAJECTORY)), total


class ShuffledSequences:
    """Minibatches of whole sequences, whose burn-in has been run.

    Args:
        columns: ``(rows, ...)`` tensors.
        table: the sequences, of all the rows.
        states: ``(rows, S)`` what the policy remembers after each row, of observations and their sequences;
            it is asked without gradient.
        minibatch_size: rows of a minibatch per learner, about; None for all at once.
        once: as ``ShuffledRows`` takes it.
    """

    def __init__(
        self,
        columns: Columns,
        table: SequenceTable,
        states: Callable[[Columns, Sequences], Tensor],
        minibatch_size: int | None,
        once: Columns | None = None,
    ) -> None:
        self._columns, self._table, self._states, self._once = columns, table, states, once or {}
        self._observed = {
            name: column for name, column in columns.items() if name == TRAJECTORY or c.is_observation(name)
        }
        self._device = table.states.device
        self.units = len(table.starts)
        counts = gather_counts(int(table.lengths.sum()), self._device)
        steps = plan_minibatches(counts, rank(), minibatch_size).steps
        self.rows, self.steps = sum(counts), min(steps, max(gather_counts(self.units, self._device)))
        self._bounds = cut_evenly(self.units, self.steps)

    def epoch(self, order: Index) -> Iterator[tuple[Columns, int]]:
        """Gathers the sequences of a minibatch when their turn comes."""
        before = np.append(0, np.cumsum(self._table.lengths[order]))[self._bounds]
        totals = sum_over_learners(torch.from_numpy(np.diff(before)).to(self._device)).tolist()
        for m, total in enumerate(totals):
            yield self._minibatch(order[self._bounds[m] : self._bounds[m + 1]]), total

    def _minibatch(self, chosen: Index) -> Columns:
        table = self._table
        packing = pack(table.starts[chosen], table.lengths[chosen])
        sequences = packing.sequences(self._states_before(chosen))
        return {
            **self._taken(self._columns, packing.rows),
            BATCH_SIZES: sequences.batch_sizes,
            c.STATE: sequences.state,
        }

    def _states_before(self, chosen: Index) -> Tensor:
        """``(k, S)`` what is remembered before some sequences, after their burn-ins."""
        table = self._table
        states = table.states.index_select(0, self._index(chosen))
        burnt = np.flatnonzero(table.burn_ins[chosen])
        if len(burnt):
            lengths = table.burn_ins[chosen][burnt]
            packing = pack(table.starts[chosen][burnt] - lengths, lengths)
            sequences = packing.sequences(states.index_select(0, self._index(burnt)))
            with torch.no_grad():
                after = self._states(self._taken(self._observed, packing.rows), sequences)
            states[self._index(burnt[packing.order])] = after.index_select(0, self._index(packing.last))
        return states

    def _taken(self, columns: Columns, rows: Index) -> Columns:
        index = self._index(rows)
        taken = {name: column.index_select(0, index) for name, column in columns.items()}
        return taken | expanded(self._once, taken.get(TRAJECTORY))

    def _index(self, rows: Index) -> Tensor:
        return torch.from_numpy(rows).to(self._device)
