"""Rows as sequences, for networks that remember: by time, and within a time the longest sequences first.

Three sequences a, b, c of 1, 3 and 2 steps are the rows  b0 c0 a0 │ b1 c1 │ b2  with batch sizes 3, 2, 1. So
nothing is padded: what a sequence gives, and its gradient, cannot depend on the lengths of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rayrl.models.observed import Observed

CHUNK_ROWS = 16_384
"""Rows that are evaluated at once: enough to keep a GPU busy, little enough for its memory."""

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sequences:
    """How the rows that a network is given form sequences.

    Args:
        batch_sizes: int64 (T,), on the CPU: how many sequences have a t-th step; it never rises.
        state: (b, S) what is remembered of each before its first step, in the order of time 0's rows.
    """

    batch_sizes: torch.Tensor
    state: torch.Tensor

    @classmethod
    def steps(cls, state: torch.Tensor) -> Sequences:
        """One step of each of b episodes."""
        return cls(torch.tensor([len(state)] if len(state) else [], dtype=torch.int64), state)


@dataclass(frozen=True, slots=True)
class Packing:
    """Stretches of consecutive rows in the order that ``Sequences`` asks for.

    Args:
        order: (b,) the stretches, longest first.
        rows: (R,) which row is taken.
        batch_sizes: (T,) how many stretches have a t-th row.
        last: (b,) where among the rows taken the last one of each stretch is, in their order.
    """

    order: Index
    rows: Index
    batch_sizes: Index
    last: Index

    def sequences(self, states: torch.Tensor) -> Sequences:
        """The sequences, of states (b, S) before the stretches as they were given."""
        order = torch.from_numpy(self.order).to(states.device)
        return Sequences(torch.from_numpy(self.batch_sizes), states.index_select(0, order))


Function = Callable[[Mapping[str, torch.Tensor], Sequences | None], torch.Tensor]
"""Of parts (B, ...) and how they form sequences; gives (B, ...)."""


def pack(starts: Index, lengths: Index) -> Packing:
    """Packs rows ``starts[i]`` to ``starts[i] + lengths[i]``, where every length is at least 1."""
    order = np.argsort(-lengths, kind="stable")
    lengths = lengths[order]
    times = np.arange(lengths[0] if len(lengths) else 0)
    batch_sizes = np.searchsorted(-lengths, -times, side="left")
    before = np.append(0, np.cumsum(batch_sizes))
    time_of_row = np.repeat(times, batch_sizes)
    place = np.arange(before[-1]) - before[time_of_row]
    rows = starts[order][place] + time_of_row
    return Packing(order, rows, batch_sizes, before[lengths - 1] + np.arange(len(lengths)))


def chunks(
    offsets: Index, states: torch.Tensor, *, limit: int = CHUNK_ROWS
) -> Iterator[tuple[torch.Tensor | slice, Sequences | None]]:
    """Goes through trajectories that lie end to end, with about ``limit`` rows at a time.

    Args:
        offsets: (n + 1,) trajectory i is rows ``offsets[i]:offsets[i + 1]``.
        states: (n, S) what is remembered before each; with S = 0 rows need not be of one trajectory.
        limit: rows at once; a trajectory that is longer is taken whole where S > 0.

    Yields:
        Which rows to take, and how they form sequences, None where S = 0.
    """
    rows = int(offsets[-1])
    if not states.shape[1]:
        for start in range(0, rows, limit):
            yield slice(start, min(start + limit, rows)), None
        return
    first, end = 0, len(offsets) - 1
    while first < end:
        # Whole trajectories, as many as end within the limit, and one at least.
        stop = int(np.searchsorted(offsets, offsets[first] + limit, side="right")) - 1
        stop = min(max(stop, first + 1), end)
        packing = pack(offsets[first:stop], np.diff(offsets[first : stop + 1]))
        index = torch.from_numpy(packing.rows).to(states.device)
        yield index, packing.sequences(states[first:stop])
        first = stop


def evaluate_rows(
    function: Function,
    observed: Observed,
    offsets: Index,
    states: torch.Tensor,
) -> torch.Tensor:
    """What a function gives for the rows of trajectories, in float32, some trajectories at a time.

    Args:
        function: what is asked.
        observed: the observations of all rows.
        offsets: as ``chunks`` takes them.
        states: as ``chunks`` takes them.
    """
    # Without rows, the function is asked for the form of its results all the same.
    taken = list(chunks(offsets, states)) or [(slice(0), Sequences.steps(states))]
    given = [(rows, function(observed.take(rows), sequences).float()) for rows, sequences in taken]
    result = given[0][1].new_empty(int(offsets[-1]), *given[0][1].shape[1:])
    for rows, values in given:
        result[rows] = values
    return result
