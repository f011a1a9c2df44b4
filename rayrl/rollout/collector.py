"""Collector: steps a vector environment by a behaviour and cuts what comes into trajectories. Needs no Ray.

    reset ─► observation ─► behaviour ─► action ─► step ─► StepBuffer ─┐   (time, sub-environment)
                 ▲                                   │                 │
                 └───────────────────────────────────┘                 ▼
                                                          TrajectoryBatch (rows end to end)

A batch of ``num_steps`` has exactly that many rows. Where a vector step gives a few rows more, those open the
next batch. A step that the environment spends on a reset makes no row.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from rayrl.errors import EnvError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.rollout.behavior import Behavior
from rayrl.rollout.call import Call
from rayrl.rollout.env_state import get_env_state, has_state, set_env_state
from rayrl.rollout.episodes import FinishedEpisodes, last_observations, successes
from rayrl.rollout.origin import Origin, slots_of
from rayrl.rollout.signals import SignalMeter
from rayrl.rollout.static_parts import static_parts
from rayrl.rollout.step_buffer import StepBuffer
from rayrl.rollout.trajectories import OpenEpisodes, cut
from rayrl.rollout.vector_env import autoreset_mode

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rollout:
    """What one call of a collector gave.

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
        max_env_failures: how often the environment may raise with no episode finished and no batch completed
            in between.

    Attributes:
        env: the vector environment.
        origin: who collects; it may be another one from one batch to the next.
        epoch: how often the worker has been restarted.
        sequence: number of the next batch within the epoch; names its random streams.
        signals: reads what the environment tells of itself after each step; None where nobody asks.
    """

    def __init__(
        self, make_env: Callable[[], VectorEnv], origin: Origin, *, max_env_failures: int = 10
    ) -> None:
        self.origin = origin
        self.epoch = 0
        self.sequence = 0
        self.signals: SignalMeter | None = None
        self._make_env = make_env
        self._max_env_failures = max_env_failures
        self._failures_in_a_row = 0
        self._buffer: StepBuffer | None = None
        self._observation: dict[str, Any] | None = None
        """Parts of the newest observation; None where a reset is due."""
        self._begun: NDArray[np.bool_] | None = None
        """``(N,)`` whose newest observation begins an episode, and is not kept yet; None for none."""
        self._idle: NDArray[np.bool_] | None = None
        """``(N,)`` sub-environments whose episode is over and which are not reset yet; None where none is."""
        self._use(make_env())
        self._episodes = OpenEpisodes(self.num_envs)
        self._memory = np.zeros((self.num_envs, 0), np.float32)
        """``(N, S)`` what the behaviour remembers of the open episodes."""

    @property
    def num_envs(self) -> int:
        """Number of sub-environments."""
        return int(self.env.num_envs)

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    def begin_epoch(self, epoch: int) -> None:
        """Takes the place of a worker that was lost: batches are numbered anew, and episodes begin anew."""
        self.epoch, self.sequence = epoch, 0
        self._observation = None

    def rebuild(self) -> None:
        """Replaces the environment by a new one; the next batch begins with new episodes."""
        self.env.close()
        self._use(self._make_env())

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
            num_episodes: finished episodes, at least, all of them whole; starts with a reset, and gives up
                what is open before and after.
            policy_version: version of the policy that acts.
            force_reset: start new episodes first.

        Raises:
            ValueError: unless one of ``num_steps`` and ``num_episodes`` is given, and positive.
            EnvError: the environment raised too often with nothing finished in between; with its traceback.
        """
        if (num_steps is None) == (num_episodes is None) or (num_steps or num_episodes or 0) < 1:
            raise ValueError(f"num_steps = {num_steps}, num_episodes = {num_episodes}: give one, at least 1")
        capacity = 64 if num_steps is None else -(-num_steps // self.num_envs) + 1
        call, buffer = Call(behavior, policy_version), self._begin(behavior, capacity)
        if force_reset or num_steps is None or self._observation is None:
            self._start_over(call, buffer)
        call.rows = int(buffer.valid[: buffer.length].sum())
        if num_steps is not None:
            while call.rows < num_steps:
                self._step(call, buffer)
            return self._end(call, buffer, buffer.withhold(call.rows - num_steps))
        while call.episodes < (num_episodes or 0):
            self._step(call, buffer)
        buffer.discard_open()
        return self._end(call, buffer)

    @torch.inference_mode()
    def collect_one_each(self, behavior: Behavior, *, max_steps: int, policy_version: int = 0) -> Rollout:
        """Collects one episode of every sub-environment, from a reset on.

        The first ``num_episodes`` to finish are shorter than episodes are on average; these are not.

        Args:
            behavior: chooses the actions.
            max_steps: where an episode that has not ended is cut.
            policy_version: version of the policy that acts.

        Returns:
            A rollout whose trajectory i comes from sub-environment i.

        Raises:
            EnvError: the environment raised too often with nothing finished in between; with its traceback.
        """
        call, buffer = Call(behavior, policy_version), self._begin(behavior, 64)
        call.wanted = call.missing = np.ones(self.num_envs, np.bool_)
        self._start_over(call, buffer)
        while call.missing.any() and buffer.length < max_steps:
            self._step(call, buffer)
        return self._end(call, buffer)

    def get_state(self) -> dict[str, Any]:
        """All that the next batch depends on, as arrays and plain values.

        ``env`` is None where the environment cannot tell its state; restoring then starts new episodes.
        """
        started = self._observation is not None
        return {
            "epoch": self.epoch,
            "sequence": self.sequence,
            "episodes": self._episodes.get_state(),
            "started": started,
            "env": get_env_state(self.env) if started and has_state(self.env) else None,
            "observation": {name: np.array(value) for name, value in (self._observation or {}).items()},
            "idle": None if self._idle is None else self._idle.copy(),
            "memory": self._memory.copy(),
            "buffer": {} if self._buffer is None else self._buffer.get_state(),
        }

    def set_state(self, state: Mapping[str, Any]) -> bool:
        """Goes on from a saved state.

        Returns:
            Whether what follows is what would have followed. It is not where the environment cannot restore
            its state; then new episodes are begun.
        """
        self.epoch, self.sequence = state["epoch"], state["sequence"]
        same = self._episodes.set_state(state["episodes"])
        self._observation = self._idle = self._buffer = None
        if not state["started"]:
            return True
        if state["env"] is None or not has_state(self.env) or not same:
            return False
        self.env.reset(seed=self.origin.reset_seed(self.epoch, self.sequence, 0))
        set_env_state(self.env, state["env"])
        self._observation, self._idle = dict(state["observation"]), state["idle"]
        self._begun = np.ones(self.num_envs, np.bool_)
        self._memory = np.array(state["memory"])
        if state["buffer"]:
            self._buffer = StepBuffer.from_state(state["buffer"])
        return True

    def _use(self, env: VectorEnv) -> None:
        self.env = env
        self._parts = {
            name: c.column_spec(space, where=name)
            for name, space in c.observation_parts(env.single_observation_space).items()
        }
        self._static = static_parts(env, self._parts)
        self._action = c.action_spec(env.single_action_space)
        self._autoreset = autoreset_mode(env)
        self._observation = self._idle = None

    def _begin(self, behavior: Behavior, capacity: int) -> StepBuffer:
        shape = self.num_envs, behavior.memory_size
        if self._memory.shape != shape:
            self._memory = np.zeros(shape, np.float32)
        generator = self.origin.action_generator(self.epoch, self.sequence)
        behavior.begin(self.num_envs, generator, self._memory)
        specs = {c.ACTIONS: self._action, **behavior.columns}
        buffer = self._buffer
        if buffer is None or buffer.specs != specs:
            if buffer is not None and buffer.length:
                # Rows that another kind of behaviour left for this batch lack some of its columns. They are
                # counted, and go.
                self._cut(buffer, lambda columns: {})
            buffer = self._buffer = StepBuffer(self.num_envs, self._parts, specs, capacity, self._static)
            self._begun = np.ones(self.num_envs, np.bool_)
        return buffer

    def _start_over(self, call: Call, buffer: StepBuffer) -> None:
        """Begins new episodes; open ones, and rows left for this batch, are given up."""
        buffer.restart()
        try:
            self._reset(call)
        except Exception as error:
            self._replace_env(call, error)

    def _reset(self, call: Call) -> None:
        seed = self.origin.reset_seed(self.epoch, self.sequence, call.resets)
        call.resets += 1
        observation, _ = self.env.reset(seed=seed)
        self._observation, self._idle = c.flatten_observation(observation), None
        self._begun = np.ones(self.num_envs, np.bool_)
        self._memory.fill(0)
        self._episodes.begin()

    def _step(self, call: Call, buffer: StepBuffer) -> None:
        """One vector step; where the environment raises, open episodes are given up instead."""
        t = buffer.length
        if t == buffer.capacity:
            buffer.grow()
        self._keep_observation(buffer)
        idle, self._idle = self._idle, None
        if idle is not None and self._autoreset is AutoresetMode.DISABLED:
            try:
                self._reset_some(buffer, idle)
            except Exception as error:
                self._fail(call, buffer, error)
                return
            idle = None
        actions, for_env = call.behavior.act(self.env, buffer, idle)
        try:
            observation, rewards, terminated, truncated, infos = self.env.step(for_env)
        except Exception as error:
            self._fail(call, buffer, error)
            return
        self._observation = c.flatten_observation(observation)
        if self.signals is not None:
            self.signals.read(self.env, infos)
        buffer.steps[c.ACTIONS][t] = actions
        buffer.rewards[t] = rewards
        buffer.terminated[t] = terminated
        buffer.truncated[t] = truncated
        buffer.version[t] = call.policy_version
        buffer.length = t + 1
        done = np.logical_or(terminated, truncated)
        if idle is not None:
            self._begun = idle
            buffer.valid[t] = ~idle
            self._memory[idle] = 0  # what it saw last was the end of another episode
            done &= ~idle
            call.rows -= int(np.count_nonzero(idle))
        call.rows += len(done)
        if ended := int(np.count_nonzero(done)):
            call.episodes += ended
            self._end_episodes(call, buffer, done, infos)

    def _keep_observation(self, buffer: StepBuffer) -> None:
        buffer.keep_observation(self._observation or {}, self._begun)
        self._begun = None

    def _reset_some(self, buffer: StepBuffer, slots: NDArray[np.bool_]) -> None:
        """Resets sub-environments whose episodes are over; the newest observations change accordingly."""
        observation, _ = self.env.reset(options={"reset_mask": slots})
        t, ended = buffer.length, np.flatnonzero(slots)
        if t:
            buffer.set_final(t - 1, ended, {name: x[t, ended] for name, x in buffer.observations.items()})
        buffer.replace_observation(c.flatten_observation(observation), slots)

    def _end_episodes(
        self, call: Call, buffer: StepBuffer, done: NDArray[np.bool_], infos: dict[str, Any]
    ) -> None:
        t = buffer.length - 1
        self._memory[done] = 0
        if call.missing is not None:
            call.missing = call.missing & ~done
        if self._autoreset is AutoresetMode.SAME_STEP:
            ended, self._begun = np.flatnonzero(done), done
            buffer.set_final(t, ended, last_observations(infos["final_obs"], ended))
            infos = infos.get("final_info", {})
        else:
            self._idle = done
        if (success := successes(infos, self.num_envs)) is not None:
            buffer.success[t, done] = success[done]

    def _fail(self, call: Call, buffer: StepBuffer, error: Exception) -> None:
        """Gives up the open episodes and replaces the environment."""
        buffer.discard_open()
        if self._add_part(call, buffer):
            self._failures_in_a_row = 0
        call.rows = sum(part.num_steps for part in call.parts)
        self._replace_env(call, error)

    def _replace_env(self, call: Call, error: Exception) -> None:
        """Builds and resets the environment anew, until that succeeds.

        Raises:
            EnvError: it raised too often.
        """
        while True:
            call.failures += 1
            self._failures_in_a_row += 1
            if self._failures_in_a_row > self._max_env_failures:
                raise EnvError(
                    f"raised {self._failures_in_a_row} times with no episode or batch finished in between; "
                    "the last time:\n" + "".join(traceback.format_exception(error)),
                    where=f"environment of worker {self.origin.producer}",
                    remedy="mend the environment; in training, train.options.max_env_failures allows more",
                ) from error
            _log.warning("environment of worker %d is rebuilt, as it raised %r", self.origin.producer, error)
            with contextlib.suppress(Exception):  # it is broken already, and may not even close
                self.env.close()
            try:
                self._use(self._make_env())
                self._reset(call)
            except Exception as again:
                error = again
            else:
                return

    def _add_part(self, call: Call, buffer: StepBuffer, held: NDArray[np.bool_] | None = None) -> bool:
        """Cuts what is valid into trajectories and empties the buffer; whether there was anything."""
        if call.wanted is not None:
            buffer.keep_first_episodes(call.wanted)
            call.wanted = call.missing
        found = bool(buffer.valid[: buffer.length].any())
        if found:
            call.parts.append(self._cut(buffer, call.behavior.finish))
        buffer.restart(held)
        return found

    def _cut(self, buffer: StepBuffer, finish: Callable[[dict[str, Any]], dict[str, Any]]) -> TrajectoryBatch:
        return cut(buffer, self._episodes, finish, self.origin, self.epoch, self.sequence)

    def _end(self, call: Call, buffer: StepBuffer, held: NDArray[np.bool_] | None = None) -> Rollout:
        self._keep_observation(buffer)
        buffer.static.check(self._observation or {}, where=f"environment of worker {self.origin.producer}")
        self._add_part(call, buffer, held)
        if held is None:  # what is open has been given up
            self._observation = None
        self._failures_in_a_row = 0
        self.sequence += 1
        batch = TrajectoryBatch.concat(call.parts)
        if call.wanted is not None and len(call.parts) > 1:
            ids: Any = batch.trajectory_columns[c.EPISODE_ID]
            batch = batch.select(np.argsort(slots_of(ids)))
        seconds = time.perf_counter() - call.started
        return Rollout(batch, FinishedEpisodes.of(batch), seconds, call.failures)
