"""Collector: steps a vector environment by a behaviour and cuts what comes into trajectories. Needs no Ray.

    reset ─► observation ─► behaviour ─► action ─► step ─► StepBuffer ─┐   (time, sub-environment)
                 ▲                                   │                 │
                 └───────────────────────────────────┘                 ▼
                                                          TrajectoryBatch (rows end to end)

A batch of ``num_steps`` has exactly that many rows. Where a vector step gives a few rows more, which happens
with environments that spend a step on a reset, those rows open the next batch.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from rayrl.config.seeding import Role, environment_seed, generator
from rayrl.errors import EnvError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged
from rayrl.rollout.behavior import Behavior
from rayrl.rollout.env_state import get_env_state, has_state, set_env_state
from rayrl.rollout.episodes import FinishedEpisodes, successes
from rayrl.rollout.step_buffer import StepBuffer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Who collects: what is stored with every trajectory, and what names the random streams.

    Args:
        run: name of the run; part of the episode ids.
        seed: seed of the run.
        producer: index of the worker.
        role: what the randomness is for.
        source: what kind of experience this is.
        domain: task family, or None.
        task: level, seed or prompt, or None.
    """

    run: str
    seed: int
    producer: int = 0
    role: Role = Role.rollout
    source: c.Source = c.Source.rollout
    domain: str | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """What one call of ``collect`` gave.

    Args:
        batch: the trajectories.
        episodes: the episodes that ended in it.
        seconds: how long it took.
        env_failures: how often the environment raised.
    """

    batch: TrajectoryBatch
    episodes: FinishedEpisodes
    seconds: float
    env_failures: int


class Collector:
    """Collects trajectories from one vector environment.

    Args:
        make_env: builds the vector environment; called again after it raised.
        origin: who collects.
        max_env_failures: how often in a row the environment may raise before a step succeeds.
    """

    def __init__(
        self, make_env: Callable[[], VectorEnv], origin: Origin, *, max_env_failures: int = 10
    ) -> None:
        self.origin = origin
        self.epoch = 0
        self.sequence = 0
        self.env_failures = 0
        self._make_env = make_env
        self._max_env_failures = max_env_failures
        self._failures_in_a_row = 0
        self._resets = 0
        self._buffer: StepBuffer | None = None
        self._columns: Mapping[str, c.ColumnSpec] = {}
        self._observation: dict[str, Any] | None = None
        self._use(make_env())
        self._episode = np.zeros(self.num_envs, np.int64)
        self._forget_episodes()

    @property
    def num_envs(self) -> int:
        """Number of sub-environments."""
        return int(self.env.num_envs)

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    @torch.inference_mode()
    def collect(
        self,
        behavior: Behavior,
        *,
        num_steps: int | None = None,
        num_episodes: int | None = None,
        policy_version: int = 0,
        force_reset: bool = False,
    ) -> Rollout:
        """Collects until there are enough steps, or enough finished episodes.

        Args:
            behavior: chooses the actions.
            num_steps: rows of the batch, exactly; open episodes go on in the next call.
            num_episodes: finished episodes, at least; starts with a reset and gives up what is open then.
            policy_version: version of the policy that acts.
            force_reset: start new episodes first.

        Raises:
            ValueError: unless one of ``num_steps`` and ``num_episodes`` is given.
            EnvError: the environment raised more often in a row than allowed; with its traceback.
        """
        if (num_steps is None) == (num_episodes is None):
            raise ValueError("give num_steps or num_episodes")
        started, failures = time.perf_counter(), self.env_failures
        buffer = self._begin(behavior, num_steps)
        if force_reset or num_episodes is not None or self._observation is None:
            self._save_final(buffer)
            buffer.discard_open()
            self._reset()
        rows = int(buffer.valid[: buffer.length].sum())
        episodes = int(buffer.finished().sum())
        while (rows < num_steps) if num_steps is not None else (episodes < (num_episodes or 0)):
            before = rows
            rows, episodes = self._step(behavior, buffer, policy_version, rows, episodes)
            if rows < before:  # the environment failed, and its open episodes went
                episodes = int(buffer.finished().sum())
        self._keep_observation(buffer)
        if num_steps is None:
            buffer.discard_open()
            held = buffer.withhold(0)
            self._observation = None
        else:
            held = buffer.withhold(rows - num_steps)
        batch, ended = self._cut(behavior, buffer)
        buffer.restart(held)
        self.sequence += 1
        return Rollout(batch, ended, time.perf_counter() - started, self.env_failures - failures)

    def get_state(self) -> dict[str, Any]:
        """All that the next ``collect`` depends on, as arrays and plain values.

        ``env`` is None where the environment cannot tell its state; restoring then starts new episodes.
        """
        exact = self._observation is not None and has_state(self.env)
        return {
            "epoch": self.epoch,
            "sequence": self.sequence,
            "env_failures": self.env_failures,
            "resets": self._resets,
            "episode": self._episode.copy(),
            "env": get_env_state(self.env) if exact else None,
            "observation": {n: np.array(v) for n, v in self._observation.items()}
            if self._observation
            else None,
            "step_index": self._step_index.copy(),
            "returns": self._returns.copy(),
            "resetting": self._resetting.copy(),
            "columns": dict(self._columns),
            "buffer": self._buffer.get_state() if self._buffer is not None else {},
        }

    def set_state(self, state: Mapping[str, Any]) -> bool:
        """Goes on from a saved state.

        Returns:
            Whether the environment's own state came back, so that what follows is what would have followed.
        """
        self.epoch, self.sequence = state["epoch"], state["sequence"]
        self.env_failures, self._resets = state["env_failures"], state["resets"]
        self._episode = state["episode"].copy()
        if state["observation"] is None:
            self._observation = None
            return True
        if state["env"] is None:
            self._observation = None
            self._episode += 1  # the open episodes end here; the next ones are others
            return False
        self._reset()
        set_env_state(self.env, state["env"])
        self._episode = state["episode"].copy()
        self._resets = state["resets"]
        self._observation = dict(state["observation"])
        self._step_index, self._returns = state["step_index"].copy(), state["returns"].copy()
        self._resetting = state["resetting"].copy()
        if state["buffer"]:
            self._columns = state["columns"]
            self._buffer = self._new_buffer(1)
            self._buffer.set_state(state["buffer"])
        return True

    def _use(self, env: VectorEnv) -> None:
        self.env = env
        self._observations = {
            name: c.column_spec(space, where=name)
            for name, space in c.observation_parts(env.single_observation_space).items()
        }
        self._action = c.action_spec(env.single_action_space)
        self._autoreset = env.metadata["autoreset_mode"]
        self._observation = None

    def _forget_episodes(self) -> None:
        self._step_index = np.zeros(self.num_envs, np.int64)
        self._returns = np.zeros(self.num_envs, np.float64)
        self._resetting = np.zeros(self.num_envs, np.bool_)

    def _new_buffer(self, capacity: int) -> StepBuffer:
        return StepBuffer(self.num_envs, self._observations, self._columns, capacity)

    def _begin(self, behavior: Behavior, num_steps: int | None) -> StepBuffer:
        origin = self.origin
        behavior.begin(self.env, generator(origin.seed, origin.role, origin.producer, self.sequence))
        columns = {c.ACTIONS: self._action, **behavior.columns}
        if self._buffer is None or columns != self._columns:
            # Rows that another kind of behaviour left for this batch lack some of its columns, and go.
            self._columns = columns
            self._buffer = self._new_buffer(-(-(num_steps or 0) // self.num_envs) + 8)
        return self._buffer

    def _reset(self) -> None:
        origin = self.origin
        rank = origin.producer + (self.epoch << 16)
        seed = environment_seed(origin.seed, origin.role, rank, self._resets)
        self._resets += 1
        observation, _ = self.env.reset(seed=seed)
        self._observation = c.flatten_observation(observation)
        self._episode += 1
        self._forget_episodes()

    def _keep_observation(self, buffer: StepBuffer) -> None:
        buffer.reserve()
        for name, value in (self._observation or {}).items():
            buffer.observations[name][buffer.length] = value

    def _step(
        self, behavior: Behavior, buffer: StepBuffer, version: int, rows: int, episodes: int
    ) -> tuple[int, int]:
        """One vector step; returns the valid rows and finished episodes of the buffer so far."""
        self._keep_observation(buffer)
        t = buffer.length
        actions, for_env = behavior.act(t, buffer.observations, buffer.steps)
        buffer.steps[c.ACTIONS][t] = actions
        try:
            observation, rewards, terminated, truncated, infos = self.env.step(for_env)
        except Exception as error:
            self._save_final(buffer)
            self._rebuild(error)
            return rows - buffer.discard_open(), episodes
        self._failures_in_a_row = 0
        self._observation = c.flatten_observation(observation)
        buffer.length = t + 1
        buffer.rewards[t] = rewards
        buffer.version[t] = version
        buffer.episode[t] = self._episode
        buffer.step_index[t] = self._step_index
        done = np.logical_or(terminated, truncated)
        if self._resetting.any():
            stepped = ~self._resetting
            done &= stepped
            self._returns += np.where(stepped, buffer.rewards[t], 0.0)
            self._step_index += stepped
            buffer.valid[t] = stepped
            rows += int(stepped.sum())
        else:
            self._returns += buffer.rewards[t]
            self._step_index += 1
            buffer.valid[t] = True
            rows += len(done)
        buffer.returns[t] = self._returns
        buffer.terminated[t] = terminated
        buffer.truncated[t] = truncated
        if self._autoreset is AutoresetMode.NEXT_STEP:
            self._resetting = done
        if done.any():
            episodes += int(done.sum())
            self._end_episodes(buffer, t, done, infos)
        return rows, episodes

    def _end_episodes(
        self, buffer: StepBuffer, t: int, done: NDArray[np.bool_], infos: dict[str, Any]
    ) -> None:
        same_step = self._autoreset is AutoresetMode.SAME_STEP
        last_infos = infos.get("final_info", {}) if same_step else infos
        if (success := successes(last_infos, self.num_envs)) is not None:
            buffer.success[t, done] = success[done]
        if same_step:
            for slot in np.flatnonzero(done).tolist():
                buffer.set_final(t, slot, c.flatten_observation(infos["final_obs"][slot]))
        elif self._autoreset is AutoresetMode.DISABLED:
            last = self._observation or {}
            for slot in np.flatnonzero(done).tolist():
                buffer.set_final(t, slot, {name: np.copy(value[slot]) for name, value in last.items()})
            observation, _ = self.env.reset(options={"reset_mask": done})
            self._observation = c.flatten_observation(observation)
        self._episode[done] += 1
        self._step_index[done] = 0
        self._returns[done] = 0.0

    def _save_final(self, buffer: StepBuffer) -> None:
        """Keeps the last observations of episodes just ended, before a reset puts others in their place."""
        if buffer.length:
            for slot in np.flatnonzero(self._resetting).tolist():
                final = {name: np.copy(value[slot]) for name, value in (self._observation or {}).items()}
                buffer.set_final(buffer.length - 1, slot, final)

    def _rebuild(self, error: Exception) -> None:
        """Replaces an environment that raised; its open episodes are lost."""
        self.env_failures += 1
        self._failures_in_a_row += 1
        if self._failures_in_a_row > self._max_env_failures:
            raise EnvError(
                f"raised {self._failures_in_a_row} times in a row; the last time:\n"
                + "".join(traceback.format_exception(error)),
                where=f"environment of worker {self.origin.producer}",
                remedy="mend the environment, or allow more by max_env_failures",
            ) from error
        _log.warning("the environment of worker %d raised and is rebuilt: %r", self.origin.producer, error)
        with contextlib.suppress(Exception):  # it is broken already, and may not even close
            self.env.close()
        self._use(self._make_env())
        self._reset()

    def _cut(self, behavior: Behavior, buffer: StepBuffer) -> tuple[TrajectoryBatch, FinishedEpisodes]:
        rows = buffer.rows()
        columns: dict[str, Any] = {
            name: buffer.take(array, rows) for name, array in (buffer.observations | buffer.steps).items()
        }
        columns[c.REWARDS] = buffer.take(buffer.rewards, rows)
        columns |= behavior.finish(columns)
        terminated, truncated = buffer.take(buffer.terminated, rows), buffer.take(buffer.truncated, rows)
        done = terminated | truncated
        slot = rows % self.num_envs
        # A trajectory ends with its episode, or with the last row of its sub-environment.
        ends = np.flatnonzero(done | np.append(slot[1:] != slot[:-1], np.ones(min(len(rows), 1), np.bool_)))
        starts = np.append(0, ends[:-1] + 1)[: len(ends)]
        offsets = np.append(0, ends + 1)
        last = rows[ends]
        returns, success = buffer.take(buffer.returns, last), buffer.take(buffer.success, last)
        step = buffer.take(buffer.step_index, last)
        over = done[ends]
        version = buffer.take(buffer.version, rows)
        trajectories: dict[str, Column] = {
            c.EPISODE_ID: self._episode_ids(slot[ends], buffer.take(buffer.episode, last)),
            c.FIRST_STEP: buffer.take(buffer.step_index, rows[starts]),
            c.TERMINATED: terminated[ends],
            c.TRUNCATED: truncated[ends],
            **{
                name.replace(c.OBS, c.FINAL_OBS, 1): value
                for name, value in buffer.final_observations(last).items()
            },
            c.SOURCE: np.full(len(ends), self.origin.source, np.uint8),
            c.SPLIT: np.zeros(len(ends), np.uint8),
            # Rows of a trajectory are in time order, so its first and last versions are its extremes.
            c.POLICY_VERSION_MIN: version[starts],
            c.POLICY_VERSION_MAX: version[ends],
            c.PRODUCER: np.full(len(ends), self.origin.producer, np.int32),
            c.EPOCH: np.full(len(ends), self.epoch, np.int32),
            c.SEQUENCE: np.full(len(ends), self.sequence, np.int64),
            c.RETURN_SO_FAR: returns,
            c.EPISODE_RETURN: np.where(over, returns, np.nan),
            c.EPISODE_SUCCESS: success,
        }
        for name, text in ((c.DOMAIN, self.origin.domain), (c.TASK, self.origin.task)):
            if text is not None:
                trajectories[name] = Ragged.from_text([text] * len(ends))
        batch = TrajectoryBatch(_as_columns(columns), offsets, _as_columns(trajectories))
        return batch, FinishedEpisodes(returns[over], step[over] + 1, success[over])

    def _episode_ids(self, slots: NDArray[np.int64], counters: NDArray[np.int64]) -> NDArray[np.uint64]:
        """``(n, 2)``: run (32 bits), producer (16), epoch (16); sub-environment (24), counter (40)."""
        run = int.from_bytes(blake2b(self.origin.run.encode(), digest_size=4).digest(), "big")
        ids = np.empty((len(slots), 2), np.uint64)
        ids[:, 0] = run << 32 | (self.origin.producer & 0xFFFF) << 16 | self.epoch & 0xFFFF
        ids[:, 1] = (slots << 40 | counters).astype(np.uint64)
        return ids


def _as_columns(columns: Mapping[str, Any]) -> dict[str, Column]:
    """Text, which a rollout holds as Python strings, becomes a ragged column."""
    return {
        name: Ragged.from_text(value) if isinstance(value, np.ndarray) and value.dtype == object else value
        for name, value in columns.items()
    }
