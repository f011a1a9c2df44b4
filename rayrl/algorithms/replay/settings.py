"""Settings of an algorithm's replay buffer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from rayrl.config import Config, InputPath


class ReplaySettings(Config):
    """What is kept of the rollouts, and how it is drawn, saved and restored."""

    record: bool = False
    """Keep the rollouts of an algorithm that does not learn from replay, such as PPO."""
    capacity: PositiveInt = 1_000_000
    """Most steps that are kept; the oldest go."""
    sampler: str | None = None
    """How steps are drawn: ``uniform``, ``prioritized``, ``recent``, ``high_reward``, ``balanced`` or one's
    own; null for the algorithm's default."""
    priority_alpha: NonNegativeFloat = 0.6
    """With ``prioritized``, a step weighs ``(TD error + priority_epsilon) ** priority_alpha``."""
    priority_beta: Annotated[float, Field(ge=0, le=1)] = 0.4
    """How much of the bias of prioritized draws the importance weights correct."""
    priority_epsilon: NonNegativeFloat = 1e-6
    """See ``priority_alpha``."""
    offline_dataset: InputPath | None = None
    """A dataset folder or a saved replay buffer, of which each minibatch has a share that never goes."""
    offline_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """That share of each minibatch."""
    save_replay_buffer: bool = True
    """Save the buffer when the trial ends or is asked to stop."""
    replay_buffer_save_path: str | None = None
    """Folder that it is saved to; null for ``replay_buffer`` in the trial's folder."""
    replay_in_checkpoint: Literal["full", "none"] = "full"
    """Whether a checkpoint holds the buffer. Without it a resumed trial begins with an empty one."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.offline_dataset is None) != (self.offline_fraction == 0):
            raise ValueError(
                "offline_dataset and offline_fraction go together; give both, such as "
                "offline_dataset: demos, offline_fraction: 0.25"
            )
        return self
