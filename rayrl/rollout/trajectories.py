"""Cuts the steps of a vector environment into trajectories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged
from rayrl.rollout.origin import Origin
from rayrl.rollout.step_buffer import StepBuffer, take_rows


class OpenEpisodes:
    """What the episode of each sub-environment had come to before the next step that is cut.

    Args:
        num_envs: number of sub-environments N.

    Attributes:
        number: int64 ``(N,)`` episodes begun before it.
        steps: int64 ``(N,)`` its steps.
        returns: float64 ``(N,)`` the sum of their rewards.
    """

    def __init__(self, num_envs: int) -> None:
        self.number = np.full(num_envs, -1, np.int64)
        self.steps = np.zeros(num_envs, np.int64)
        self.returns = np.zeros(num_envs, np.float64)

    def begin(self) -> None:
        """Begins another episode everywhere; those that were open are given up."""
        self.number += 1
        self.steps.fill(0)
        self.returns.fill(0)

    def get_state(self) -> dict[str, Any]:
        """The attributes."""
        return {"number": self.number.copy(), "steps": self.steps.copy(), "returns": self.returns.copy()}

    def set_state(self, state: Mapping[str, Any]) -> bool:
        """Takes over what ``get_state`` gave; whether it was of as many sub-environments."""
        same = len(state["number"]) == len(self.number)
        self.number[:] = state["number"] if same else state["number"].max()
        self.steps[:], self.returns[:] = (state["steps"], state["returns"]) if same else (0, 0)
        return same


def cut(
    buffer: StepBuffer,
    episodes: OpenEpisodes,
    finish: Callable[[dict[str, Any]], dict[str, Any]],
    origin: Origin,
    epoch: int,
    sequence: int,
) -> TrajectoryBatch:
    """The trajectories of all valid rows, by sub-environment, then in time; there must be a row.

    A trajectory ends with its episode, or with the last row of its sub-environment.

    Args:
        buffer: the steps.
        episodes: what was open before them; what is open after them, on return.
        finish: makes further columns of those that were kept step by step.
        origin: who collected.
        epoch: how often the collector has been restarted.
        sequence: number of the batch.
    """
    slots, times = np.divmod(np.flatnonzero(buffer.valid[: buffer.length].T), buffer.length)
    rows = times * buffer.num_envs + slots
    columns = {name: take_rows(array, rows) for name, array in (buffer.observations | buffer.steps).items()}
    rewards = columns[c.REWARDS] = take_rows(buffer.rewards, rows)
    columns |= finish(columns)

    terminated, truncated = take_rows(buffer.terminated, rows), take_rows(buffer.truncated, rows)
    ends = np.flatnonzero(terminated | truncated | _last_of_run(slots))
    starts = np.append(0, ends[:-1] + 1)
    slot, last_rows = slots[ends], rows[ends]
    terminated, truncated = terminated[ends], truncated[ends]
    over = terminated | truncated

    last = _last_of_run(slot)
    opens = np.append(True, last[:-1])  # the first one of its sub-environment goes on from before
    index = np.arange(len(ends))
    number = episodes.number[slot] + index - np.maximum.accumulate(np.where(opens, index, 0))
    first_step = np.where(opens, episodes.steps[slot], 0)
    returns = np.where(opens, episodes.returns[slot], 0.0)
    returns += np.add.reduceat(rewards, starts, dtype=np.float64)
    trajectories: dict[str, Any] = {
        c.EPISODE_ID: origin.episode_ids(epoch, slot, number),
        c.FIRST_STEP: first_step,
        c.TERMINATED: terminated,
        c.TRUNCATED: truncated,
        **{
            name.replace(c.OBS, c.FINAL_OBS, 1): value
            for name, value in buffer.final_observations(last_rows).items()
        },
        **buffer.static.of(take_rows(buffer.episode, rows[starts])),
        c.SOURCE: np.full(len(ends), origin.source, np.uint8),
        c.SPLIT: np.full(len(ends), c.Split.unset, np.uint8),
        # Rows of a trajectory are in time order, so its first and last versions are its extremes.
        c.POLICY_VERSION_MIN: buffer.version[times[starts]],
        c.POLICY_VERSION_MAX: buffer.version[times[ends]],
        c.PRODUCER: np.full(len(ends), origin.producer, np.int32),
        c.EPOCH: np.full(len(ends), epoch, np.int32),
        c.SEQUENCE: np.full(len(ends), sequence, np.int64),
        c.RETURN_SO_FAR: returns,
        c.EPISODE_RETURN: np.where(over, returns, np.nan),
        c.EPISODE_SUCCESS: take_rows(buffer.success, last_rows),
    }
    for name, text in ((c.DOMAIN, origin.domain), (c.TASK, origin.task)):
        if text is not None:
            trajectories[name] = Ragged.from_text([text] * len(ends))

    if c.STATE in columns:
        trajectories[c.STATE] = columns.pop(c.STATE)[starts]

    open_slots = slot[last]
    episodes.number[open_slots] = (number + over)[last]
    episodes.steps[open_slots] = np.where(over, 0, first_step + ends - starts + 1)[last]
    episodes.returns[open_slots] = np.where(over, 0.0, returns)[last]
    return TrajectoryBatch(_as_columns(columns), np.append(0, ends + 1), _as_columns(trajectories))


def _last_of_run(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where the next value is another one, or there is none."""
    return np.append(values[1:] != values[:-1], True)


def _as_columns(columns: Mapping[str, Any]) -> dict[str, Column]:
    """Text, which a rollout holds as Python strings, becomes a ragged column."""
    return {
        name: Ragged.from_text(value) if isinstance(value, np.ndarray) and value.dtype == object else value
        for name, value in columns.items()
    }
