"""ColumnarAlgorithm: RLlib's Algorithm with workers that return receipts, and a state that is complete.

| loop             | consumes                      | waits for                  | unblocked by             |
|------------------|-------------------------------|----------------------------|--------------------------|
| sample           | weights of the last update    | all asked env runners      | receipts, or lost workers|
| update           | references to batches         | all learners               | results, or a time limit |

The schedule is synchronous: batch i is collected by the weights of update i-1, and update i learns from it.
Batches are taken in the order of the workers, so the same seeds give the same run, whatever came back first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import (
    COMPONENT_LEARNER_GROUP,
    COMPONENT_METRICS_LOGGER,
    DEFAULT_MODULE_ID,
)
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)
from ray.tune.result import TRAINING_ITERATION

from rayrl.algorithms.actors import (
    Sample,
    begin_epochs,
    learner_weights,
    restore_workers,
    sample_local,
    sample_remote,
    update_learners,
    worker_states,
)
from rayrl.algorithms.experience_data import ExperienceData
from rayrl.algorithms.recent_episodes import RecentEpisodes
from rayrl.errors import TrainingError
from rayrl.models.actor_critic import ActorCritic

WORKERS = "workers"
PROGRESS = "progress"

_log = logging.getLogger(__name__)


class ColumnarAlgorithm(Algorithm):
    """Base of rayrl's algorithms.

    Attributes:
        env_steps: environment steps sampled in the trial's life.
        exact: nothing has happened that keeps this run from being what an undisturbed one would be: no worker
            was restarted, and every environment could be restored.
        weights: what env runners need of the newest weights, and their version.
    """

    def setup(self, config: Any) -> None:
        """Builds workers and learners."""
        self.env_steps = 0
        self.exact = True
        self._epochs: dict[int, int] = {}
        super().setup(config)
        self._episodes = RecentEpisodes(self.config.metrics_num_episodes_for_smoothing)
        if self.env_runner_group is not None:
            self.weights = learner_weights(self.learner_group)

    def training_step(self) -> None:
        """Collects one train batch, and learns from it."""
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            samples = self.sample()
        self._log_samples(samples)
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            self._update([sample.part for sample in samples])
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.sync_weights()

    def sample(self) -> list[Sample]:
        """Collects exactly one train batch.

        Where workers are lost, those that are left collect the missing part; with none left, the lost ones
        are waited for.

        Raises:
            TrainingError: no worker came back within ``env_runner_restore_timeout_s``.
        """
        group, total = self.env_runner_group, self.config.total_train_batch_size
        if not group.num_remote_env_runners():
            return sample_local(group, total)
        fragment = self.config.get_rollout_fragment_length(1) * self.config.num_envs_per_env_runner
        samples: list[Sample] = []
        deadline = time.monotonic() + self.config.env_runner_restore_timeout_s
        while (missing := total - sum(sample.receipt.num_steps for sample in samples)) > 0:
            if not group.num_healthy_remote_env_runners():
                if time.monotonic() > deadline:
                    raise TrainingError(
                        f"all {group.num_remote_env_runners()} env runners died, and none came back within "
                        f"{self.config.env_runner_restore_timeout_s:g} s"
                    )
                self.restore_env_runners(group)
                continue
            new, lost = sample_remote(
                group, self.weights, fragment, -(-missing // fragment), self.config.sample_timeout_s
            )
            samples += new
            self.exact &= not lost
        return samples

    def _update(self, parts: list[Any]) -> None:
        results = update_learners(
            self.learner_group,
            ExperienceData(parts=parts),
            {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps},
            self.config.learner_timeout_s,
        )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)

    def sync_weights(self) -> None:
        """Takes the learners' weights for the next order to sample, and gives them to the local worker."""
        self.weights = learner_weights(self.learner_group)
        if self.env_runner is not None:
            self.env_runner.set_state(self.weights)

    def _log_samples(self, samples: list[Sample]) -> None:
        receipts = [sample.receipt for sample in samples]
        steps = sum(receipt.num_steps for receipt in receipts)
        self.env_steps += steps
        for receipt in receipts:
            self._episodes.add(receipt.episodes)
        values = {
            **self._episodes.metrics(),
            NUM_ENV_STEPS_SAMPLED: steps,
            NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps,
            NUM_EPISODES_LIFETIME: self._episodes.total,
            "env_failures": sum(receipt.env_failures for receipt in receipts),
            "sample_seconds": sum(receipt.seconds for receipt in receipts),
            "exact": float(self.exact),
        }
        self.metrics.log_dict(values, key=ENV_RUNNER_RESULTS, window=1)

    def learner_module(self) -> ActorCritic:
        """The complete policy as the learners have it, on the CPU of this process."""
        module: ActorCritic = self.config.get_rl_module_spec(
            spaces={DEFAULT_MODULE_ID: self._module_spaces()}, inference_only=False
        ).build()
        weights = self.learner_group.get_weights()
        module.set_state(weights.get(DEFAULT_MODULE_ID, weights))
        return module

    def _module_spaces(self) -> tuple[Any, Any]:
        if self.spaces is not None:
            spaces: tuple[Any, Any] = self.spaces[DEFAULT_MODULE_ID]
            return spaces
        return self.config.observation_space, self.config.action_space

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup | None) -> list[int]:
        """Takes back workers that Ray has restarted; they begin a new epoch, with new episodes.

        They get their weights with the next order to sample.
        """
        if env_runner_group is None:
            return []
        restored: list[int] = env_runner_group.probe_unhealthy_env_runners() or []
        for index in restored:
            self._epochs[index] = self._epochs.get(index, 0) + 1
            _log.warning("env runner %d is back, in epoch %d", index, self._epochs[index])
        if restored:
            self.exact = False
            epochs = {index: self._epochs[index] for index in restored}
            begin_epochs(env_runner_group, epochs, self.config.env_runner_restore_timeout_s)
        return restored

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Everything that the next iteration depends on, every worker's part included."""
        state: dict[str, Any] = {}
        if self._check_component(COMPONENT_LEARNER_GROUP, components, not_components):
            state[COMPONENT_LEARNER_GROUP] = self.learner_group.get_state(
                self._get_subcomponents(COMPONENT_LEARNER_GROUP, components),
                not_components=self._get_subcomponents(COMPONENT_LEARNER_GROUP, not_components),
                **kwargs,
            )
        if self.env_runner_group is not None and self._check_component(WORKERS, components, not_components):
            state[WORKERS] = worker_states(self.env_runner_group)
        state[PROGRESS] = {
            "env_steps": self.env_steps,
            "exact": self.exact,
            "epochs": dict(self._epochs),
            "episodes": self._episodes.get_state(),
        }
        state[COMPONENT_METRICS_LOGGER] = self.metrics.get_state()
        state[TRAINING_ITERATION] = self.training_iteration
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back, or forward, to a saved state."""
        if COMPONENT_LEARNER_GROUP in state:
            self.learner_group.set_state(state[COMPONENT_LEARNER_GROUP])
        if PROGRESS in state:
            progress = state[PROGRESS]
            self.env_steps, self.exact = progress["env_steps"], progress["exact"]
            self._epochs = dict(progress["epochs"])
            self._episodes.set_state(progress["episodes"])
        if WORKERS in state and self.env_runner_group is not None:
            exact = restore_workers(self.env_runner_group, state[WORKERS])
            if not exact:
                _log.warning(
                    "an environment cannot restore its state: new episodes are begun, and what follows is "
                    "not what would have followed without the interruption"
                )
            self.exact &= exact
        if COMPONENT_METRICS_LOGGER in state:
            self.metrics.set_state(state[COMPONENT_METRICS_LOGGER])
        if TRAINING_ITERATION in state:
            self._iteration = state[TRAINING_ITERATION]
        self._use_restored_weights()

    def restore_from_path(self, path: str | Path, *args: Any, **kwargs: Any) -> None:
        """Restores a checkpoint, or a component of one."""
        # Not Algorithm's own, which wants env runners and sends their connectors around.
        Checkpointable.restore_from_path(self, path, *args, **kwargs)
        self._use_restored_weights()

    def _use_restored_weights(self) -> None:
        if self.env_runner_group is not None:
            self.sync_weights()

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """The learner group; all workers are in the algorithm's own state, by index."""
        return [(COMPONENT_LEARNER_GROUP, self.learner_group)]
