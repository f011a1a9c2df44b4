"""ColumnarAlgorithm: RLlib's Algorithm with workers that return receipts, and a state that is complete.

| loop   | consumes                   | waits for       | unblocked by                         |
|--------|----------------------------|-----------------|--------------------------------------|
| sample | weights of the last update | RolloutWorkers  | receipts that make up a train batch  |
| update | references to batches      | all learners    | results, or a time limit             |

The schedule is synchronous: batch i is collected by the weights of update i-1, and update i learns from it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
from ray.tune import PlacementGroupFactory
from ray.tune.result import TRAINING_ITERATION

from rayrl.algorithms.actors import Order, learner_weights, resident_bytes, update_learners
from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.experience_data import ExperienceData
from rayrl.algorithms.recent_episodes import RecentEpisodes
from rayrl.algorithms.replay.experience_replay import Buffer, ExperienceReplay
from rayrl.algorithms.rollout_workers import RolloutWorkers, slowest_seconds
from rayrl.experience.dataset import EnvInfo
from rayrl.models.distributions import ActionDistribution
from rayrl.models.policy_module import PolicyModule
from rayrl.rollout.receipt import Receipt
from rayrl.storage.spaces import Spaces

SAMPLING_SECONDS, UPDATE_SECONDS = "sampling_seconds", "update_seconds"
"""Seconds of the iteration from asking the workers, and the learners, until all had answered."""
REPLAY_SECONDS = "replay_seconds"
"""Seconds of the iteration for adding to replay and drawing from it."""
WORKERS = "workers"
PROGRESS = "progress"
REPLAY = "replay"

_log = logging.getLogger(__name__)


class ColumnarAlgorithm(Algorithm):
    """Base of rayrl's algorithms.

    Attributes:
        env_steps: environment steps sampled in the trial's life.
        env_failures: how often an environment raised in the trial's life, and was rebuilt.
        workers: the env runners; None for an algorithm that has none.
        weights: what env runners need of the newest weights, and their version.
        stop_reason: why training is to end before its last step; None where nothing says so.
        warm_started: whether training began with another policy's weights.
        exact_replay: the replay buffer is what it would be without any interruption.
        exact_optimizer: the optimizer's moments are so, too.
        replay: what is kept of the rollouts, and drawn by the learners; None where nothing is.
    """

    def setup(self, config: Any) -> None:
        """Builds workers and learners."""
        self.env_steps = 0
        self.env_failures = 0
        self.stop_reason: str | None = None
        self.workers: RolloutWorkers | None = None
        self.warm_started = False
        self.exact_replay = True
        self.exact_optimizer = True
        self._earlier_warnings: list[str] = []
        self.replay: ExperienceReplay | None = None
        super().setup(config)
        self._episodes = RecentEpisodes(self.config.metrics_num_episodes_for_smoothing)
        if self.env_runner_group is not None:
            self.workers = RolloutWorkers(self.env_runner_group, self.config)
            self.weights = self.orders()
        if self.config.keeps_replay:
            self.replay = self._make_replay()
            self.local_replay_buffer = self.replay.buffer

    def _create_local_replay_buffer_if_necessary(self, config: Any) -> None:
        # Not RLlib's own buffer: ``setup`` makes one once the spaces are known.
        return None

    def _make_replay(self) -> ExperienceReplay:
        config = self.config
        return ExperienceReplay(
            config.replay_settings,
            config.num_replay_shards,
            Spaces(*self._module_spaces()),
            EnvInfo(id=str(config.env), config=json.loads(json.dumps(config.env_config, default=repr))),
            seed=config.seed,
            sampler=config.default_sampler,
            producers=max(1, config.num_env_runners),
            name=config.run_name,
        )

    @property
    def replay_buffer(self) -> Buffer | None:
        """The replay buffer, which is also RLlib's ``local_replay_buffer``; None where there is none."""
        buffer: Buffer | None = self.local_replay_buffer
        return buffer

    @classmethod
    def default_resource_request(cls, config: Any) -> PlacementGroupFactory:
        """What a trial asks of the cluster: RLlib's bundles, and one for each shard of its replay buffer."""
        asked = super().default_resource_request(config)
        if not isinstance(config, ColumnarConfig):
            config = cls.get_default_config().update_from_dict(config)
        shard = {"CPU": config.replay_settings.cpus_per_replay_shard}
        return PlacementGroupFactory(
            [*asked.bundles, *[shard] * config.num_replay_shards], strategy=asked.strategy
        )

    def cleanup(self) -> None:
        """Ends all actors."""
        if self.replay is not None:
            self.replay.close()
        super().cleanup()

    def begin_episodes(self) -> None:
        """Gives up all open episodes: the next batch begins with new ones."""
        if self.workers is not None:
            self.workers.begin_episodes()

    def memory_bytes(self) -> int:
        """Memory of the trial's process, its workers and learners; Ray's object store is not counted."""
        return resident_bytes(self.env_runner_group, self.learner_group)

    @property
    def warnings(self) -> list[str]:
        """What should not have happened so far, a sentence each with the option to change."""
        found = self._replay_warnings
        if self.env_failures:
            found.append(
                f"the environment raised {self.env_failures:,} times, and its open episodes were lost: mend "
                f"it; train.options.max_env_failures ({self.config.max_env_failures}) is how often it may "
                "with no episode or batch finished in between"
            )
        return found

    @property
    def exact(self) -> bool:
        """Whether this run is what an undisturbed one would be.

        It is not once a worker was lost, or an environment, the replay buffer or the optimizer could not be
        restored.
        """
        learned = self._replay_is_exact and self.exact_optimizer
        return learned and (self.workers is None or self.workers.exact)

    @property
    def _replay_is_exact(self) -> bool:
        return self.exact_replay and (self.replay is None or self.replay.exact)

    @property
    def _replay_warnings(self) -> list[str]:
        return [*self._earlier_warnings, *(self.replay.warnings if self.replay is not None else ())]

    def training_step(self) -> None:
        """Collects one train batch, and learns from it."""
        assert self.workers is not None
        started = time.perf_counter()
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            samples = self.workers.sample(Order(self.weights, self.config.total_train_batch_size))
        sampled = time.perf_counter()
        self.env_steps += sum(sample.receipt.num_steps for sample in samples)
        if self.replay is not None:
            self.replay.add(samples, self._distribution())
            self.metrics.log_value((TIMERS, REPLAY_SECONDS), time.perf_counter() - sampled, window=1)
        self.log_receipts([sample.receipt for sample in samples])
        begun = time.perf_counter()
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            self._update([sample.part for sample in samples])
        # RLlib's timers are moving averages; these are of this iteration.
        seconds = {SAMPLING_SECONDS: sampled - started, UPDATE_SECONDS: time.perf_counter() - begun}
        self.metrics.log_dict(seconds, key=TIMERS, window=1)
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.sync_weights()

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
        self.weights = self.orders()
        if self.env_runner is not None:
            self.env_runner.set_state(self.weights)

    def orders(self) -> dict[str, Any]:
        """What workers are sent with each order to sample."""
        return learner_weights(self.learner_group)

    def log_receipts(self, receipts: Sequence[Receipt]) -> None:
        """Logs what an iteration's workers told, and what the replay buffer holds."""
        steps = sum(receipt.num_steps for receipt in receipts)
        failures = sum(receipt.env_failures for receipt in receipts)
        self.env_failures += failures
        for receipt in receipts:
            self._episodes.add(receipt.episodes)
        values: dict[str, Any] = {
            **self._episodes.metrics(),
            NUM_ENV_STEPS_SAMPLED: steps,
            NUM_EPISODES_LIFETIME: self._episodes.total,
            "env_failures": failures,
            "sample_seconds": slowest_seconds(receipts),
            "exact": float(self.exact),
        }
        counts = [receipt.action_counts for receipt in receipts if receipt.action_counts is not None]
        if counts:
            shares = np.sum(counts, axis=0) / steps
            values["actions"] = {str(action): float(share) for action, share in enumerate(shares)}
        self.metrics.log_dict(values, key=ENV_RUNNER_RESULTS, window=1)
        # RLlib compares it over an iteration, and a value with a window is NaN once it was told.
        lifetime = (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME)
        self.metrics.log_value(lifetime, steps, reduce="lifetime_sum")
        if self.replay is not None:
            self.metrics.log_dict(self.replay.metrics(), key=REPLAY, window=1)

    def _distribution(self) -> ActionDistribution:
        module = self.env_runner.module if self.env_runner is not None else self.learner_module()
        distribution: ActionDistribution = module.distribution
        return distribution

    def learner_module(self) -> PolicyModule:
        """The complete policy as the learners have it, on the CPU of this process."""
        module: PolicyModule = self.config.get_rl_module_spec(
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
        """Takes back workers that Ray has restarted; called by RLlib before every iteration."""
        return self.workers.restore() if self.workers is not None else []

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
        if self.workers is not None and self._check_component(WORKERS, components, not_components):
            state[WORKERS] = self.workers.get_state()
        state[PROGRESS] = {
            "env_steps": self.env_steps,
            "env_failures": self.env_failures,
            "episodes": self._episodes.get_state(),
            "warm_started": self.warm_started,
            "exact_replay": self._replay_is_exact,
            "exact_optimizer": self.exact_optimizer,
            "has_optimizer": self.config.save_optimizer_state,
            "replay_warnings": self._replay_warnings,
        }
        state[COMPONENT_METRICS_LOGGER] = self.metrics.get_state()
        state[TRAINING_ITERATION] = self.training_iteration
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back, or forward, to a saved state."""
        if COMPONENT_LEARNER_GROUP in state:
            self.learner_group.set_state(state[COMPONENT_LEARNER_GROUP])
        if PROGRESS in state:
            self.env_steps = state[PROGRESS]["env_steps"]
            self.env_failures = state[PROGRESS]["env_failures"]
            self._episodes.set_state(state[PROGRESS]["episodes"])
            self.warm_started = state[PROGRESS]["warm_started"]
            self.exact_replay = state[PROGRESS]["exact_replay"]
            self.exact_optimizer = state[PROGRESS]["exact_optimizer"] and state[PROGRESS]["has_optimizer"]
            if not state[PROGRESS]["has_optimizer"]:
                _log.warning("the optimizer's state was not saved (save_optimizer_state: false): it has none")
            self._earlier_warnings = list(state[PROGRESS]["replay_warnings"])
        if WORKERS in state and self.workers is not None:
            self.workers.set_state(state[WORKERS])
        if COMPONENT_METRICS_LOGGER in state:
            self.metrics.set_state(state[COMPONENT_METRICS_LOGGER])
        if TRAINING_ITERATION in state:
            self._iteration = state[TRAINING_ITERATION]
        self._use_restored_weights()

    def save_to_path(self, path: str | Path | None = None, **kwargs: Any) -> str:
        """Writes a checkpoint, whole, and gives its folder."""
        folder: str = super().save_to_path(path, **kwargs)
        if self.replay is not None:
            self.replay.save_checkpoint(Path(folder))
        return folder

    def restore_from_path(self, path: str | Path, *args: Any, **kwargs: Any) -> None:
        """Restores a checkpoint, or a component of one."""
        # Not Algorithm's own, which wants env runners and sends their connectors around.
        Checkpointable.restore_from_path(self, path, *args, **kwargs)
        if self.replay is not None and not kwargs.get("component"):
            self.exact_replay &= self.replay.restore_checkpoint(Path(path))
            if self.replay.newest_epoch is not None and self.workers is not None:
                # Their next batches are not those that replay has under the same numbers.
                self.workers.begin_anew(self.replay.newest_epoch)
            self.local_replay_buffer = self.replay.buffer
        self._use_restored_weights()

    def _use_restored_weights(self) -> None:
        if self.env_runner_group is not None:
            self.sync_weights()

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """The learner group; all workers are in the algorithm's own state, by index."""
        return [(COMPONENT_LEARNER_GROUP, self.learner_group)]
