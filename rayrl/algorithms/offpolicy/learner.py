"""OffPolicyLearner: some gradient steps on draws from replay, and the TD errors of their steps.

draw ─► columns on the device ─► normalizer ─► minibatch ─► loss ─► backward ─► reduce ─► optimizer
                                                  ▲                                          │
                                                  └───────────── target networks ◄───────────┘
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from rayrl.algorithms.collective import (
    largest_over_learners,
    sum_over_learners,
    time_limit,
    world_size,
)
from rayrl.algorithms.learner import ColumnarLearner, Columns
from rayrl.algorithms.offpolicy.data import Ratings, ReplayData
from rayrl.errors import TrainingError
from rayrl.experience import columns as c
from rayrl.experience.ragged import Ragged
from rayrl.experience.replay.samples import DISCOUNTS, NEXT_OBS, TransitionSample
from rayrl.models.observed import Observed

WEIGHTS = "weights"
"""Column of the importance weights."""


class OffPolicyLearner(ColumnarLearner):
    """Base of learners from replay.

    Subclasses name their statistics, implement ``loss``, which leaves the rows' absolute TD errors in
    ``td_errors``, and ``move_targets``.

    Attributes:
        td_errors: ``(rows,)`` of the last minibatch.
    """

    td_errors: Tensor

    def build(self) -> None:
        """Builds the learner with nothing learned yet."""
        super().build()
        self._env_steps = 0
        self._targets_moved_at = 0
        self._begin_report()

    def make_steps(self, training_data: TrainingData, timesteps: Mapping[str, Any]) -> Ratings:
        """Makes gradient steps, one for each minibatch; metrics are kept until they are asked for.

        Args:
            training_data: a draw for this learner.
            timesteps: counters that schedules go by, with RLlib's keys.

        Raises:
            TrainingError: the data are no draw from replay, or a TD error is not finite.
        """
        if not isinstance(training_data, ReplayData):
            raise TrainingError(
                f"a {type(training_data).__name__} was given to a learner from replay",
                remedy="pass training_data=ReplayData(...)",
            )
        started = time.perf_counter()
        self._env_steps = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        self.before_gradient_based_update(timesteps=timesteps)
        with time_limit(self.config.learner_timeout_s):
            sample = training_data.fetch()
            columns = self.prepare(sample)
            td_errors = self._learn_from(columns, training_data.due.tolist()).cpu().numpy()
            self.check_losses({"the TD errors' sum": float(td_errors.sum())}, columns)
        self._weights_seq_no += 1
        self._updates += 1
        self._rows += len(sample)
        self._seconds += time.perf_counter() - started
        return Ratings(sample.row_ids, sample.shards, td_errors)

    def make_steps_apart(self, training_data: TrainingData, timesteps: Mapping[str, Any]) -> tuple[Any, ...]:
        """``make_steps`` with the number of rows first, and then each array of the ratings."""
        ratings = self.make_steps(training_data, timesteps)
        return len(ratings.row_ids), *ratings

    def learn(self, training_data: TrainingData | None) -> tuple[int, dict[str, float]]:
        """Not in this way: steps are made by ``make_steps``, and told of by ``report``.

        Raises:
            TrainingError: always.
        """
        raise TrainingError("a learner from replay has no update by epochs", remedy="call make_steps")

    def report(self) -> dict[str, Any]:
        """What the steps since the last report were like, reduced, in RLlib's form.

        Means of the statistics are over all learners' rows.
        """
        with time_limit(self.config.learner_timeout_s):
            values = self._take_means()
        results = values | self.coefficients() | {"seconds": self._seconds}
        rows, timesteps = self._rows, {NUM_ENV_STEPS_SAMPLED_LIFETIME: self._env_steps}
        self._begin_report()
        return self.log_update(rows, results, timesteps)

    def coefficients(self) -> dict[str, float]:
        """Numbers to report that are not means over rows."""
        return {}

    @abstractmethod
    def move_targets(self) -> None:
        """Moves the target networks towards the learned ones by ``tau``."""

    def prepare(self, sample: TransitionSample) -> Columns:
        """The columns on the device: parts of ``obs`` and ``next_obs``, actions in the policy's units, n-step
        returns, discounts γᵐ that are 0 where the episode terminated, and importance weights, of which the
        largest over all learners is 1."""
        given: Mapping[str, Any] = sample.columns
        actions = given[c.ACTIONS]
        if isinstance(actions, Ragged):
            raise TrainingError("ragged actions cannot be learned from", where=c.ACTIONS)
        columns = {name: self.to_device(given[name]) for name in given if _is_observation(name)}
        self._parts = [name for name in columns if not name.startswith(NEXT_OBS)]
        columns[c.ACTIONS] = self.to_device(self.policy.distribution.from_env(actions))
        columns[c.REWARDS] = self.to_device(given[c.REWARDS])
        # What comes after a terminal state is worth nothing.
        columns[DISCOUNTS] = self.to_device(np.where(given[c.TERMINATED], np.float32(0), given[DISCOUNTS]))
        if sample.weights is not None:
            weights = self.to_device(sample.weights)
            columns[WEIGHTS] = weights / largest_over_learners(weights.max())
        return columns

    def parts(self, minibatch: Columns) -> tuple[Columns, Columns]:
        """The observation parts of the steps and of what came after them, by the policy's names."""
        following = {name: minibatch[f"next_{name}"] for name in self._parts}
        return {name: minibatch[name] for name in self._parts}, following

    def _learn_from(self, columns: Columns, due: Sequence[int]) -> Tensor:
        """Makes a step after each of these numbers of environment steps; gives all rows' TD errors."""
        self.update_normalizer(Observed({name: columns[name] for name in self._parts}))
        steps, every = len(due), self.config.target_network_update_freq
        rows = len(columns[c.ACTIONS]) // steps
        columns |= self.noise(steps, rows)
        total, errors = rows * world_size(), []
        for first, at in zip(range(0, steps * rows, rows), due, strict=True):
            minibatch = {name: column[first : first + rows] for name, column in columns.items()}
            statistics, norm, found_inf = self._step(minibatch, total)
            errors.append(self.td_errors)
            self._sums += statistics
            self._norms += norm
            self._skipped += found_inf
            # With the first gradient step past each multiple, wherever rounds begin and end.
            if not every or at // every > self._targets_moved_at // every:
                self.move_targets()
                self._targets_moved_at = at
        self._steps += steps
        return torch.cat(errors)

    def noise(self, steps: int, rows: int) -> Columns:
        """Columns of random numbers that the loss takes, ``(steps · rows, ...)``; none by default."""
        return {}

    def _begin_report(self) -> None:
        self._sums = torch.zeros(len(self.statistics), device=self._device)
        self._norms = torch.zeros((), device=self._device)
        self._skipped = torch.zeros((), device=self._device)
        self._steps = self._rows = 0
        self._seconds = 0.0

    def _take_means(self) -> dict[str, float]:
        sum_over_learners(self._sums)
        rows, steps = max(1, self._rows * world_size()), max(1, self._steps)
        values = torch.cat([self._sums / rows, torch.stack([self._norms / steps, self._skipped])]).tolist()
        return {
            **dict(zip(self.statistics, values, strict=False)),
            "gradient_norm": values[-2],
            "gradient_steps": float(self._steps),
            "gradient_steps_skipped": values[-1],
        }

    def get_training_state(self) -> dict[str, Any]:
        """Counters."""
        return super().get_training_state() | {
            "env_steps": self._env_steps,
            "targets_moved_at": self._targets_moved_at,
        }

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_training_state`` gave."""
        super().set_training_state(state)
        self._env_steps = state["env_steps"]
        self._targets_moved_at = state["targets_moved_at"]
        self._begin_report()


def _is_observation(name: str) -> bool:
    return name.split("/", 1)[0] in (c.OBS, NEXT_OBS)
