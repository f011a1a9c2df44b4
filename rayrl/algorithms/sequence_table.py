"""Where sequences lie in trajectories that lie end to end, and what is remembered before each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rayrl.models.sequences import Index


@dataclass(frozen=True, slots=True)
class SequenceTable:
    """Sequences of consecutive rows, none longer than a trajectory.

    Args:
        starts: ``(n,)`` the first row that is learned from.
        lengths: ``(n,)`` rows that are learned from, at least 1.
        burn_ins: ``(n,)`` rows before them from which nothing is learned.
        states: ``(n, S)`` what is remembered before the burn-in.
    """

    starts: Index
    lengths: Index
    burn_ins: Index
    states: Tensor

    @classmethod
    def cut(
        cls, offsets: Index, states: Tensor, *, length: int, burn_in: int, after: Tensor | None = None
    ) -> SequenceTable:
        """Cuts trajectories from their beginning on; the last sequence of each is what is left.

        Args:
            offsets: ``(m + 1,)`` trajectory i is rows ``offsets[i]:offsets[i + 1]``.
            states: ``(m, S)`` what is remembered before each trajectory.
            length: rows of a sequence, at most.
            burn_in: rows of a burn-in, unless the trajectory has begun later.
            after: ``(rows, S)`` what is remembered after each row. None where it is not known: what a
                sequence knows of the rows before it is then from its burn-in alone.
        """
        pieces = -(-np.diff(offsets) // length)
        trajectory = np.repeat(np.arange(len(pieces)), pieces)
        number = np.arange(len(trajectory)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin, end = offsets[trajectory], offsets[trajectory + 1]
        starts = begin + number * length
        burn_ins = np.minimum(burn_in, starts - begin)
        first = starts - burn_ins

        def index(rows: Index) -> Tensor:
            return torch.from_numpy(rows).to(states.device)

        known = states.index_select(0, index(trajectory))
        middle = np.flatnonzero(first > begin)
        known[index(middle)] = 0.0 if after is None else after.index_select(0, index(first[middle] - 1))
        return cls(starts, np.minimum(length, end - starts), burn_ins, known)
