"""RolloutWorkers: the env runners of an algorithm, asked for a train batch and taken back when they die.

| loop    | consumes                   | waits for            | unblocked by                             |
|---------|----------------------------|----------------------|------------------------------------------|
| sample  | weights of the last update | all asked workers    | receipts, lost workers, a time limit     |
| restore | lost workers               | an answer from each  | workers restarted by Ray, a time limit   |

Batches are taken in the order of the workers, so the same seeds give the same run, whatever came back first.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rayrl.algorithms.actors import (
    Answers,
    Order,
    Sample,
    all_workers,
    begin_episodes,
    begin_epochs,
    healthy_workers,
    mark_lost,
    order_remote,
    restore_workers,
    restored_workers,
    sample_local,
    sample_remote,
    worker_states,
)
from rayrl.algorithms.ledger import Ledger
from rayrl.algorithms.minibatches import cut_evenly
from rayrl.errors import TrainingError
from rayrl.rollout.receipt import Receipt

_RETRY_S = 0.5
"""Pause between two looks at whether a worker has come back."""

_log = logging.getLogger(__name__)


def slowest_seconds(receipts: Sequence[Receipt]) -> float:
    """How long the slowest worker sampled; workers sample side by side, and one may have been asked again."""
    seconds: defaultdict[int, float] = defaultdict(float)
    for receipt in receipts:
        seconds[receipt.producer] += receipt.seconds
    return max(seconds.values())


class RolloutWorkers:
    """The env runners of one algorithm.

    Args:
        group: RLlib's group of them.
        config: the algorithm's.

    Attributes:
        exact: nothing has happened that keeps the batches from being what they would have been without any
            disturbance: no worker was lost, and every environment could be restored.
    """

    def __init__(self, group: EnvRunnerGroup, config: Any) -> None:
        self.exact = True
        self._group = group
        self._config = config
        self._ledger = Ledger()
        self._restored: list[int] = []

    def begin(self, order: Order) -> Answers:
        """Has the remote workers begin to collect; without such, ``finish`` collects."""
        if not self._group.num_remote_env_runners():
            return {}
        return order_remote(self._group, order, self._shares(self._available(), order.steps))

    def finish(self, order: Order, answers: Answers) -> list[Sample]:
        """Waits for exactly the rows that were ordered.

        Where workers are lost, those that are left collect the missing part; with none left, the lost ones
        are waited for.

        Args:
            order: what was ordered.
            answers: what ``begin`` gave for it.

        Raises:
            TrainingError: a worker did not answer in time, or raised; a worker died that is not to be
                restarted or done without; or none came back within ``env_runner_restore_timeout_s``.
        """
        if not self._group.num_remote_env_runners():
            return [sample_local(self._group, order)]
        samples: list[Sample] = []
        while True:
            given = sample_remote(self._group, answers, self._config.sample_timeout_s)
            accepted = [sample for sample in given if self._ledger.accept(sample.receipt)]
            samples += accepted
            for worker in answers.keys() - {sample.receipt.producer for sample in accepted}:
                self._lose(worker)
            missing = order.steps - sum(sample.receipt.num_steps for sample in samples)
            if missing <= 0:
                return samples
            answers = order_remote(self._group, order, self._shares(self._available(), missing))

    def sample(self, order: Order) -> list[Sample]:
        """Collects exactly the rows that are ordered; see ``finish``."""
        return self.finish(order, self.begin(order))

    def begin_episodes(self) -> None:
        """Gives up all open episodes: the next batch begins with new ones."""
        begin_episodes(self._group)

    def begin_anew(self, epoch: int) -> None:
        """Has all workers begin an epoch after this one, with new episodes."""
        self._begin_epochs(all_workers(self._group) or [0], epoch)

    def restore(self) -> list[int]:
        """Takes back workers that Ray has restarted; they begin a new epoch, with new episodes.

        They get their weights with the next order to sample.

        Returns:
            The indices of those that came back since the last call.
        """
        self._take_back()
        restored, self._restored = self._restored, []
        return restored

    def get_state(self) -> dict[str, Any]:
        """All that the next batches depend on, but for the weights."""
        return {
            "exact": self.exact,
            "ledger": self._ledger.get_state(),
            "workers": worker_states(self._group),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back, or forward, to a saved state, as far as environments can."""
        self._ledger.set_state(state["ledger"])
        exact = restore_workers(self._group, state["workers"])
        if remote := all_workers(self._group):
            # What a worker without a state collects must not be taken for what it once collected.
            self._begin_epochs([worker for worker in healthy_workers(self._group) if worker not in exact])
        self.exact = state["exact"] and all(exact.get(worker, False) for worker in remote or [0])
        if state["exact"] and not self.exact:
            _log.warning(
                "an environment cannot restore its state: new episodes are begun, and what follows is not "
                "what would have followed without the interruption"
            )

    def _shares(self, workers: list[int], missing: int) -> dict[int, int]:
        """How many of the missing rows each worker is to collect, by its index.

        Whole vector steps where the total allows it: what a worker collects beyond its order opens its next
        batch, with actions of an older policy.
        """
        config, width = self._config, self._config.num_envs_per_env_runner
        if config.rollout_fragment_length == "auto":
            rows = np.diff(cut_evenly(-(-missing // width), len(workers))) * width
            rows[-1] -= -missing % width
        else:
            fragment = config.rollout_fragment_length * width
            rows = np.clip(missing - fragment * np.arange(len(workers)), 0, fragment)
        return {worker: n for worker, n in zip(workers, rows.tolist(), strict=True) if n}

    def _available(self) -> list[int]:
        """Indices of the workers that can be asked; waits for one where all are lost."""
        limit = self._config.env_runner_restore_timeout_s if self._config.restart_failed_env_runners else 0
        deadline = time.monotonic() + limit
        while not (workers := healthy_workers(self._group)):
            if time.monotonic() >= deadline:
                raise TrainingError(
                    f"all {len(all_workers(self._group))} env runners died, and none came back within "
                    f"{limit:g} s",
                    remedy="look at their logs; raise env_runner_restore_timeout_s if they take longer",
                )
            if not self._take_back():
                time.sleep(_RETRY_S)
        # One may have been lost while it was asked for its state.
        self.exact &= workers == all_workers(self._group)
        return workers

    def _take_back(self) -> list[int]:
        back = self._begin_epochs(restored_workers(self._group))
        self._restored += back
        self.exact &= not back
        return back

    def _begin_epochs(self, workers: list[int], after: int = 0) -> list[int]:
        epochs = {worker: self._ledger.begin_epoch(worker, after) for worker in workers}
        begun = begin_epochs(self._group, epochs)
        for worker in begun:
            _log.warning("env runner %d begins epoch %d", worker, epochs[worker])
        return begun

    def _lose(self, worker: int) -> None:
        config = self._config
        mark_lost(self._group, worker)
        self.exact = False
        if not (config.restart_failed_env_runners or config.ignore_env_runner_failures):
            raise TrainingError(
                "died",
                where=f"env runner {worker}",
                remedy="set restart_failed_env_runners, or ignore_env_runner_failures to go on without it",
            )
