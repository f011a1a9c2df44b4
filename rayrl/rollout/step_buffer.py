"""StepBuffer: what a vector environment gives, step by step, and its turning into trajectories.

Time is the first axis while collecting, since that is how the data come: one write per column and step. A
single gather per column then lays each sub-environment's steps end to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.columns import ColumnSpec


class StepBuffer:
    """Rows ``(time, sub-environment)`` of a rollout.

    Args:
        num_envs: number of sub-environments N.
        observations: spec of each observation part by column name.
        steps: spec of each further step column (actions, what the behaviour adds).
        capacity: vector steps to make room for at first; it grows as needed.
    """

    def __init__(
        self,
        num_envs: int,
        observations: Mapping[str, ColumnSpec],
        steps: Mapping[str, ColumnSpec],
        capacity: int,
    ) -> None:
        self.num_envs = num_envs
        self.length = 0
        self.capacity = capacity
        # One row more than steps: the observation after the last one.
        self.observations = {n: _empty(capacity + 1, num_envs, s) for n, s in observations.items()}
        self.steps = {n: _empty(capacity, num_envs, s) for n, s in steps.items()}
        shape = (capacity, num_envs)
        self.rewards = np.zeros(shape, np.float32)
        self.terminated = np.zeros(shape, np.bool_)
        self.truncated = np.zeros(shape, np.bool_)
        self.valid = np.zeros(shape, np.bool_)
        self.episode = np.zeros(shape, np.int64)
        self.step_index = np.zeros(shape, np.int64)
        self.returns = np.zeros(shape, np.float64)
        self.success = np.full(shape, np.nan, np.float32)
        self.version = np.zeros(shape, np.int64)
        self._final: dict[int, dict[str, Any]] = {}

    def reserve(self) -> None:
        """Makes room for one more vector step."""
        if self.length < self.capacity:
            return
        for columns in (self.observations, self.steps):
            for name, array in columns.items():
                columns[name] = _grown(array, self.capacity)
        for name in _ROW_COLUMNS:
            setattr(self, name, _grown(getattr(self, name), self.capacity))
        self.success[self.capacity :] = np.nan
        self.capacity *= 2

    def set_final(self, time: int, slot: int, observation: dict[str, Any]) -> None:
        """Keeps the last observation of an episode, where the next row holds another episode's first."""
        self._final[time * self.num_envs + slot] = observation

    def finished(self) -> NDArray[np.bool_]:
        """``(length, N)`` rows that end an episode."""
        length = self.length
        return self.valid[:length] & (self.terminated[:length] | self.truncated[:length])

    def discard_open(self) -> int:
        """Gives up the steps of unfinished episodes; returns how many."""
        length = self.length
        later = np.flip(np.logical_or.accumulate(np.flip(self.finished(), 0), 0), 0)
        dropped = self.valid[:length] & ~later
        self.valid[:length] &= later
        return int(dropped.sum())

    def withhold(self, rows: int) -> NDArray[np.bool_]:
        """Takes the last ``rows`` valid rows of the newest step out of this batch.

        Returns:
            ``(N,)`` which sub-environments' rows were taken out.
        """
        held = np.zeros(self.num_envs, np.bool_)
        if rows:
            newest = self.valid[self.length - 1]
            held[np.flatnonzero(newest)[-rows:]] = True
            newest &= ~held
        return held

    def restart(self, held: NDArray[np.bool_]) -> None:
        """Empties the buffer, but for the rows of the newest step that were withheld: they become row 0."""
        last, final = self.length - 1, self._final
        self._final = {}
        self.length = 0
        if not held.any():
            self.success.fill(np.nan)
            return
        for columns in (self.observations, self.steps):
            for array in columns.values():
                array[0] = array[last]
        for name in _ROW_COLUMNS:
            array = getattr(self, name)
            array[0] = array[last]
        self.success[1:] = np.nan
        self.valid[0] = held
        self._final = {
            slot: final[last * self.num_envs + slot]
            for slot in np.flatnonzero(held).tolist()
            if last * self.num_envs + slot in final
        }
        self.length = 1

    def rows(self) -> NDArray[np.int64]:
        """``(rows,)`` valid rows as ``time * N + slot``, by sub-environment, then in time order."""
        slot_major = np.flatnonzero(self.valid[: self.length].T)
        slot, time = np.divmod(slot_major, max(self.length, 1))
        return time * self.num_envs + slot

    def take(self, array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        """Gathers rows of a ``(time, N, ...)`` array."""
        return array.reshape(-1, *array.shape[2:]).take(rows, axis=0)

    def final_observations(self, ends: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The observation after each of some rows, by part.

        Args:
            ends: ``(n,)`` rows, as ``rows`` gives them.
        """
        parts = {name: self.take(array, ends + self.num_envs) for name, array in self.observations.items()}
        for i, row in enumerate(ends.tolist()):
            if (kept := self._final.get(row)) is not None:
                for name, value in kept.items():
                    parts[name][i] = value
        return parts

    def get_state(self) -> dict[str, Any]:
        """What the next batch needs of this one: the withheld rows, which stand in row 0."""
        if self.length == 0:
            return {}
        return {
            "observations": {name: array[0].copy() for name, array in self.observations.items()},
            "steps": {name: array[0].copy() for name, array in self.steps.items()},
            "rows": {name: getattr(self, name)[0].copy() for name in _ROW_COLUMNS},
            "final": {str(row): parts for row, parts in self._final.items()},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Puts the withheld rows back."""
        self.length = 0
        self._final = {}
        if not state:
            return
        for name, row in state["observations"].items():
            self.observations[name][0] = row
        for name, row in state["steps"].items():
            self.steps[name][0] = row
        for name, row in state["rows"].items():
            getattr(self, name)[0] = row
        self._final = {int(row): parts for row, parts in state["final"].items()}
        self.length = 1


_ROW_COLUMNS = (
    "rewards",
    "terminated",
    "truncated",
    "valid",
    "episode",
    "step_index",
    "returns",
    "success",
    "version",
)


def _empty(steps: int, num_envs: int, spec: ColumnSpec) -> NDArray[Any]:
    # Text is kept as Python strings until the rollout is cut into trajectories.
    return np.empty((steps, num_envs, *spec.shape), object if spec.kind == "text" else spec.dtype)


def _grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    return np.concatenate([array, np.zeros((rows, *array.shape[1:]), array.dtype)])
