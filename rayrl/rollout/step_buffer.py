"""StepBuffer: what a vector environment gives, step by step.

Time is the first axis, since that is how the data come: one write per column and step. What can be computed
for a whole rollout at once is not kept here, but left to ``rayrl.rollout.trajectories``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.columns import ColumnSpec
from rayrl.rollout.static_parts import EpisodeParts

Array = NDArray[Any]


class StepBuffer:
    """Rows ``(time, sub-environment)`` of a rollout.

    Args:
        num_envs: number of sub-environments N.
        observations: spec of each observation part by column name.
        steps: spec of each further step column (actions, what the behaviour adds).
        capacity: vector steps to make room for at first; it grows as needed.
        static: which of the observation parts do not change within an episode.

    Attributes:
        specs: spec of each further step column.
        length: vector steps held; row ``length`` of ``observations`` is what comes after them.
        observations: each part ``(capacity + 1, N, ...)``, but for the static ones.
        static: what is held once for each episode.
        steps: each further column ``(capacity, N, ...)``.
        rewards: float32 ``(capacity, N)``.
        terminated: bool ``(capacity, N)``.
        truncated: bool ``(capacity, N)``.
        valid: bool ``(capacity, N)``, false where there was no step: the environment reset itself instead, or
            the step is given up.
        success: float32 ``(capacity, N)``, NaN where not known.
        version: int64 ``(capacity,)``, of the policy that acted.
        episode: int32 ``(capacity, N)``, the episode's number in ``static``, where anything is.
    """

    def __init__(
        self,
        num_envs: int,
        observations: Mapping[str, ColumnSpec],
        steps: Mapping[str, ColumnSpec],
        capacity: int,
        static: Collection[str] = (),
    ) -> None:
        self.num_envs = num_envs
        self.specs = dict(steps)
        self.length = 0
        self.capacity = capacity
        self.observations = {
            n: _empty(capacity + 1, num_envs, s) for n, s in observations.items() if n not in static
        }
        self.static = EpisodeParts({n: s for n, s in observations.items() if n in static}, num_envs)
        self.steps = {n: _empty(capacity, num_envs, s) for n, s in steps.items()}
        shape = (capacity, num_envs)
        self.rewards = np.zeros(shape, np.float32)
        self.terminated = np.zeros(shape, np.bool_)
        self.truncated = np.zeros(shape, np.bool_)
        self.valid = np.ones(shape, np.bool_)
        self.success = np.full(shape, np.nan, np.float32)
        self.version = np.zeros(capacity, np.int64)
        self.episode = np.zeros(shape, np.int32)
        self._clear_final()

    def grow(self) -> None:
        """Doubles the capacity."""
        for columns in (self.observations, self.steps):
            for name, array in columns.items():
                columns[name] = _grown(array, self.capacity)
        for name in _ROW_COLUMNS:
            setattr(self, name, _grown(getattr(self, name), self.capacity))
        self._clear(self.capacity)
        self.capacity *= 2

    def keep_observation(self, parts: Mapping[str, Any], begun: NDArray[np.bool_] | None) -> None:
        """Writes row ``length`` of the observations.

        Args:
            parts: each part, ``(N, ...)``.
            begun: ``(N,)`` where it is the first one of an episode; None where it is nowhere.
        """
        for name, array in self.observations.items():
            array[self.length] = parts[name]
        if self.static:
            self._keep_episodes(parts, begun)

    def replace_observation(self, parts: Mapping[str, Any], slots: NDArray[np.bool_]) -> None:
        """Writes the first observations of the episodes that some sub-environments ``(N,)`` begin instead."""
        for name, array in self.observations.items():
            array[self.length, slots] = np.asarray(parts[name], array.dtype)[slots]
        if self.static:
            self._keep_episodes(parts, slots)

    def _keep_episodes(self, parts: Mapping[str, Any], begun: NDArray[np.bool_] | None) -> None:
        if begun is not None:
            self.static.begin(begun, parts)
        if self.length < self.capacity:
            self.episode[self.length] = self.static.number

    def set_final(self, time: int, slots: NDArray[np.int64], parts: Mapping[str, Any]) -> None:
        """Keeps last observations of episodes, where the next row will hold other episodes' first ones.

        Args:
            time: when the episodes ended.
            slots: ``(k,)`` their sub-environments.
            parts: each part, ``(k, ...)``.
        """
        self._final_rows.append(time * self.num_envs + slots)
        for name, kept in self._final.items():
            kept.append(np.array(parts[name], self.observations[name].dtype))

    def finished(self) -> NDArray[np.bool_]:
        """``(length, N)`` rows that end an episode."""
        held = slice(self.length)
        finished: NDArray[np.bool_] = self.valid[held] & (self.terminated[held] | self.truncated[held])
        return finished

    def discard_open(self) -> None:
        """Gives up the steps of unfinished episodes."""
        ends_later = np.logical_or.accumulate(self.finished()[::-1], 0)[::-1]
        self.valid[: self.length] &= ends_later

    def keep_first_episodes(self, slots: NDArray[np.bool_]) -> None:
        """Gives up all steps but those of the first episode of each of some sub-environments ``(N,)``."""
        finished = self.finished()
        ended_before: NDArray[np.int64] = np.cumsum(finished, 0) - finished
        self.valid[: self.length] &= (ended_before == 0) & slots

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

    def restart(self, held: NDArray[np.bool_] | None = None) -> None:
        """Empties the buffer, but for the rows of the newest step that were withheld: they become row 0."""
        last, self.length = self.length - 1, 0
        if held is None or not held.any():
            self._clear(0)
            self._clear_final()
            self.static.restart()
            return
        for columns in (self.observations, self.steps):
            for array in columns.values():
                array[0] = array[last]
        for name in _ROW_COLUMNS:
            array = getattr(self, name)
            array[0] = array[last]
        self.static.restart(self.episode[0])
        self.episode[0] = np.arange(self.num_envs)
        self.valid[0] = held
        self._clear(1)
        final_rows, final = self._joined_final()
        kept = np.flatnonzero(final_rows >= last * self.num_envs)
        kept = kept[held[final_rows[kept] % self.num_envs]]
        self._clear_final()
        slots = final_rows[kept] - last * self.num_envs
        self.set_final(0, slots, {name: values[kept] for name, values in final.items()})
        self.length = 1

    def final_observations(self, ends: NDArray[np.int64]) -> dict[str, Array]:
        """The observation after each of some rows, by part.

        Args:
            ends: ``(n,)`` rows as ``time * N + slot``.
        """
        parts = {name: take_rows(array, ends + self.num_envs) for name, array in self.observations.items()}
        rows, final = self._joined_final()
        if len(rows):
            order = rows.argsort()
            found = order[np.searchsorted(rows, ends, sorter=order).clip(max=len(rows) - 1)]
            known = rows[found] == ends
            for name, values in final.items():
                parts[name][known] = values[found[known]]
        return parts

    def get_state(self) -> dict[str, Any]:
        """What is held between two batches: the withheld rows, which stand in row 0."""
        if self.length == 0:
            return {}
        slots, final = self._joined_final()
        return {
            "observations": {name: array[0].copy() for name, array in self.observations.items()},
            "steps": {name: array[0].copy() for name, array in self.steps.items()},
            "rows": {name: getattr(self, name)[0].copy() for name in _ROW_COLUMNS},
            "static": self.static.of(self.episode[0]),
            "final_slots": slots,
            "final": final,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> StepBuffer:
        """A buffer that holds withheld rows; ``state`` is not empty."""
        static = state.get("static", {})
        observations = {name: ColumnSpec.of(row) for name, row in (state["observations"] | static).items()}
        steps = {name: ColumnSpec.of(row) for name, row in state["steps"].items()}
        buffer = cls(len(state["rows"]["valid"]), observations, steps, 1, static)
        buffer.static.set(static)
        for name, row in state["observations"].items():
            buffer.observations[name][0] = row
        for name, row in state["steps"].items():
            buffer.steps[name][0] = row
        for name, row in state["rows"].items():
            getattr(buffer, name)[0] = row
        buffer.episode[0] = np.arange(buffer.num_envs)
        buffer.set_final(0, state["final_slots"], state["final"])
        buffer.length = 1
        return buffer

    def _joined_final(self) -> tuple[NDArray[np.int64], dict[str, Array]]:
        """``(k,)`` rows whose last observations are kept, and these, each part ``(k, ...)``."""
        if not self._final_rows:
            return np.empty(0, np.int64), {name: array[0, :0] for name, array in self.observations.items()}
        return np.concatenate(self._final_rows), {
            name: np.concatenate(values) for name, values in self._final.items()
        }

    def _clear_final(self) -> None:
        self._final_rows: list[NDArray[np.int64]] = []
        self._final: dict[str, list[Array]] = {name: [] for name in self.observations}

    def _clear(self, start: int) -> None:
        """Sets what not every step writes, from row ``start`` on, to what holds where it is not written."""
        self.valid[start:] = True
        self.success[start:] = np.nan


def take_rows(array: Array, rows: NDArray[np.int64]) -> Array:
    """Gathers rows, ``time * N + slot``, of a ``(time, N, ...)`` array."""
    return array.reshape(-1, *array.shape[2:]).take(rows, axis=0)


_ROW_COLUMNS = ("rewards", "terminated", "truncated", "valid", "success", "version", "episode")


def _empty(steps: int, num_envs: int, spec: ColumnSpec) -> Array:
    # Text is kept as Python strings until the rollout is cut into trajectories.
    return np.empty((steps, num_envs, *spec.shape), object if spec.kind == "text" else spec.dtype)


def _grown(array: Array, rows: int) -> Array:
    return np.concatenate([array, np.zeros((rows, *array.shape[1:]), array.dtype)])
