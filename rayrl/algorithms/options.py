"""Options of the train stage."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from rayrl.algorithms.replay.settings import LEARN_FROM_REPLAY, ReplaySettings
from rayrl.config import Config


def _gpus(value: Any) -> Any:
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise ValueError("must be 'auto' or a number of GPUs, at least 0")
    if value != "auto" and value > 1 and value != int(value):
        raise ValueError("Ray gives a share of one GPU, or whole ones: take a number below 1, or a whole one")
    return value


class ChunkOptions(Config):
    """How training is cut into parts, each with processes of its own; without it, training is one part."""

    size: PositiveInt
    """Environment steps of a chunk, for each trial: there are ceil(`total_steps` / `size`) of them."""


class TrainOptions(Config):
    """How trials are trained, and what each of them asks of the cluster."""

    algorithm: str = "ppo"
    """Name of the algorithm; ``rayrl list algorithms`` shows those that are known."""
    total_steps: Annotated[int, Field(ge=1, le=10**12)] = 100_000
    """Environment steps of a trial: it ends with the first iteration at or past this."""
    chunks: ChunkOptions | None = None
    """Cuts training into chunks, each a Ray Job of its own that begins where the last one ended; null for one
    chunk. `--set train.chunks.size=5000` makes them."""
    env_runners: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Remote rollout workers; 0 collects in the trial's own process."""
    envs_per_runner: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Sub-environments that step together in each rollout worker."""
    learners: Annotated[int, Field(ge=0, le=1_024)] = 0
    """Remote learners; 0 learns in the trial's own process."""
    gpus_per_learner: Annotated[NonNegativeFloat | Literal["auto"], BeforeValidator(_gpus)] = "auto"
    """GPUs of each learner; ``auto`` takes one where there is one for each, else none."""
    cpus_per_learner: NonNegativeFloat = 1
    """CPUs of each learner."""
    cpus_per_env_runner: NonNegativeFloat = 1
    """CPUs of each rollout worker."""
    checkpoint_every_s: PositiveFloat = 10
    """Seconds between a trial's checkpoints; it also writes one when it ends or is asked to stop."""
    checkpoint_every_iterations: PositiveInt | None = None
    """Iterations between a trial's checkpoints, in place of seconds; null goes by `checkpoint_every_s`."""
    keep_checkpoints: PositiveInt = 2
    """How many of a trial's newest checkpoints are kept."""
    save_optimizer_state: bool = True
    """Whether checkpoints hold the optimizer's moments; without them a trial that goes on begins with none,
    and is not exact."""
    reset_on_checkpoint: bool = False
    """Begins new episodes after each checkpoint, so that a trial whose environment cannot tell its state goes
    on exactly; needs `checkpoint_every_iterations`. Asked to stop, a trial falls back on its last one."""
    evaluate_every: PositiveInt | None = None
    """Environment steps between a trial's evaluations in the course of training, the first before it begins;
    null for none. They play episodes of the evaluation, as trained, and leave training as it is."""
    evaluate_episodes: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Episodes of each of these evaluations: the first of those that `evaluate.seed` names."""
    resource_timeout_s: PositiveFloat = 600
    """Seconds until a cluster must have given the first trial what it asks for, else the stage fails."""
    replay: ReplaySettings = ReplaySettings()
    """What is kept of the rollouts, and how it is drawn, saved and restored."""
    options: dict[str, Any] = Field(default={})
    """Options of the algorithm, by the names of its config (``lr``, ``gamma``, …)."""

    @model_validator(mode="after")
    def _resets_at_known_steps(self) -> Self:
        if self.reset_on_checkpoint and self.checkpoint_every_iterations is None:
            raise ValueError(
                "reset_on_checkpoint needs checkpoint_every_iterations: where episodes begin anew must not "
                "depend on the clock"
            )
        return self

    @property
    def chunk_ends(self) -> tuple[int, ...]:
        """Environment steps at which each chunk ends, the last one at ``total_steps``."""
        size = self.total_steps if self.chunks is None else self.chunks.size
        count = math.ceil(self.total_steps / size)
        return tuple(min(self.total_steps, size * number) for number in range(1, count + 1))

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
