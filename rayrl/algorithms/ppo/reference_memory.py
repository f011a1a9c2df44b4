"""What the reference remembers of the episodes that learners see piece by piece.

The reference acts nowhere, so nobody but the learners can follow what it would remember. A piece that begins
with its episode begins from nothing, any other one where the piece before it has ended: in an earlier update,
or earlier in this one, perhaps at another learner. So learners tell each other how their pieces ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayrl.algorithms.collective import gather_rows
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.observed import Observed
from rayrl.models.sequences import pack

Key = tuple[int, int, int]
"""An episode's id, in two parts, and the number of a step in it."""


class ReferenceMemory:
    """The states of a frozen network in the episodes that have not ended, the same at all learners.

    Args:
        network: which remembers; of one that does not, nothing is kept.
    """

    def __init__(self, network: ActorCriticNetwork) -> None:
        self._network = network
        self._open: dict[Key, Tensor] = {}

    @torch.no_grad()
    def states(self, batch: TrajectoryBatch, observed: Observed) -> Tensor:
        """``(n, S)`` before each trajectory of this learner's batch; every learner must call it.

        A piece whose episode nobody has seen the beginning of begins from nothing.

        Args:
            batch: the trajectories.
            observed: the observations of their rows.
        """
        states = self._network.initial_state(batch.num_trajectories)
        if not self._network.state_size:
            return states
        begins, ends = _keys(batch)
        waiting, forced = np.ones(len(begins), np.bool_), False
        while True:
            known = [forced or key[2] == 0 or key in self._open for key in map(tuple, begins.tolist())]
            ready = np.flatnonzero(waiting & np.array(known, np.bool_))
            for i in ready.tolist():
                states[i] = self._open.get(tuple(begins[i].tolist()), states[i])
            waiting[ready] = False
            if not self._tell(batch, observed, states, begins, ends, ready):
                if forced:
                    return states
                forced = True

    def _tell(
        self,
        batch: TrajectoryBatch,
        observed: Observed,
        states: Tensor,
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        ready: NDArray[np.int64],
    ) -> int:
        """Runs some trajectories, and takes over how those of all learners ended; gives their number."""
        packing = pack(batch.offsets[ready], batch.lengths[ready])
        device = states.device
        rows = torch.from_numpy(packing.rows).to(device)
        sequences = packing.sequences(states.index_select(0, torch.from_numpy(ready).to(device)))
        last = torch.from_numpy(packing.last).to(device)
        after = self._network.states(observed.take(rows), sequences).index_select(0, last)
        order = ready[packing.order]
        keys = torch.from_numpy(np.concatenate([begins[order], ends[order]], axis=1)).to(device)
        all_keys, all_after = gather_rows(keys).tolist(), gather_rows(after)
        for (*begin, first, second, step), state in zip(all_keys, all_after, strict=True):
            self._open.pop(tuple(begin), None)
            if step >= 0:
                self._open[first, second, step] = state
        return len(all_keys)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """The open episodes."""
        return {
            "keys": np.array(list(self._open), np.int64).reshape(-1, 3),
            "states": np.array([state.numpy(force=True) for state in self._open.values()], np.float32),
        }

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``get_state`` gave."""
        like = self._network.initial_state(1)
        states = torch.tensor(state["states"], device=like.device)
        self._open = {
            (first, second, step): kept
            for (first, second, step), kept in zip(state["keys"].tolist(), states, strict=True)
        }


def _keys(batch: TrajectoryBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(n, 3)`` keys of each trajectory's first step, and of the one after its last, -1 where it is over."""
    columns: Mapping[str, Any] = batch.trajectory_columns
    ids = np.ascontiguousarray(columns[c.EPISODE_ID]).view(np.int64)
    first = columns[c.FIRST_STEP]
    after = np.where(columns[c.TERMINATED] | columns[c.TRUNCATED], -1, first + batch.lengths)
    return np.column_stack([ids, first]), np.column_stack([ids, after])
