"""Options of the train stage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from rayrl.algorithms.replay.settings import LEARN_FROM_REPLAY, ReplaySettings
from rayrl.config import Config


def _gpus(value: Any) -> Any:
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise ValueError("must be 'auto' or a number of GPUs, at least 0")
    return value


class TrainOptions(Config):
    """How trials are trained, and what each of them asks of the cluster."""

    algorithm: str = "ppo"
    """Name of the algorithm; ``rayrl list algorithms`` shows those that are known."""
    total_steps: PositiveInt = 100_000
    """Environment steps of a trial: it ends with the first iteration at or past this."""
    env_runners: NonNegativeInt = 0
    """Remote rollout workers; 0 collects in the trial's own process."""
    envs_per_runner: PositiveInt = 16
    """Sub-environments that step together in each rollout worker."""
    learners: NonNegativeInt = 0
    """Remote learners; 0 learns in the trial's own process."""
    gpus_per_learner: Annotated[NonNegativeFloat | Literal["auto"], BeforeValidator(_gpus)] = "auto"
    """GPUs of each learner; ``auto`` takes one where there is one for each, else none."""
    cpus_per_learner: NonNegativeFloat = 1
    """CPUs of each learner."""
    cpus_per_env_runner: NonNegativeFloat = 1
    """CPUs of each rollout worker."""
    checkpoint_every_s: PositiveFloat = 10
    """Seconds between a trial's checkpoints; it also writes one when it ends or is asked to stop."""
    evaluate_every: PositiveInt | None = None
    """Environment steps between a trial's evaluations in the course of training, the first before it begins;
    null for none. They play episodes of the evaluation, as trained, and leave training as it is."""
    evaluate_episodes: PositiveInt = 20
    """Episodes of each of these evaluations: the first of those that `evaluate.seed` names."""
    resource_timeout_s: PositiveFloat = 600
    """Seconds until a cluster must have given the first trial what it asks for, else the stage fails."""
    replay: ReplaySettings = ReplaySettings()
    """What is kept of the rollouts, and how it is drawn, saved and restored."""
    options: dict[str, Any] = Field(default={})
    """Options of the algorithm, by the names of its config (``lr``, ``gamma``, …)."""

    def gpus_for_each_learner(self, available: float) -> float:
        """GPUs of each learner, on a cluster that has ``available`` of them."""
        if self.gpus_per_learner != "auto":
            return self.gpus_per_learner
        return 1.0 if available >= max(1, self.learners) else 0.0

    def trial_bundles(self, available_gpus: float) -> list[dict[str, float]]:
        """What one trial asks for: a bundle for its own process, one for each of its actors.

        As ``Algorithm.default_resource_request`` of RLlib, which takes too long to import for a first check.
        """
        gpus = self.gpus_for_each_learner(available_gpus)
        own_gpus, own_cpus = (0.0, 1.0) if self.learners else (gpus, max(1.0, self.cpus_per_learner))
        return [
            {"CPU": own_cpus, "GPU": own_gpus},
            *({"CPU": self.cpus_per_env_runner, "GPU": 0.0} for _ in range(self.env_runners)),
            *({"CPU": self.cpus_per_learner, "GPU": gpus} for _ in range(self.learners)),
            *({"CPU": self.replay.cpus_per_replay_shard, "GPU": 0.0} for _ in range(self.replay_shards)),
        ]

    @property
    def replay_shards(self) -> int:
        """Actors that hold the replay buffer; 0 where there is none, or it is in the trial's own process."""
        if not (self.replay.record or self.algorithm in LEARN_FROM_REPLAY):
            return 0
        return self.replay.shards(env_runners=self.env_runners, learners=self.learners)
