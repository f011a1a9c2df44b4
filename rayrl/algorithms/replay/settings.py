"""Settings of an algorithm's replay buffer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from rayrl.config import Config, InputPath
from rayrl.errors import ConfigError

if TYPE_CHECKING:
    from rayrl.experience.replay.samplers import Sampler

PRIORITIZED = "prioritized"
LEARN_FROM_REPLAY = frozenset({"dqn", "sac"})
"""Names of the algorithms that do, whatever the settings."""


def _shards(value: Any) -> Any:
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError("must be 'auto' or a number of shards, at least 0")
    return value


class ReplaySettings(Config):
    """What is kept of the rollouts, and how it is drawn, saved and restored."""

    record: bool = False
    """Keep the rollouts of an algorithm that does not learn from replay, such as PPO."""
    capacity: PositiveInt = 1_000_000
    """Most steps that are kept, at least a minibatch; the oldest go."""
    sampler: str | None = None
    """How steps are drawn: ``uniform``, ``prioritized``, ``recent``, ``high_reward``, ``balanced`` or one
    that the environment's module registers; null for the algorithm's default."""
    priority_alpha: NonNegativeFloat = 0.6
    """With ``prioritized``, a step weighs ``(TD error + priority_epsilon) ** priority_alpha``."""
    priority_beta: Annotated[float, Field(ge=0, le=1)] = 0.4
    """How much of the bias of prioritized draws the importance weights correct."""
    priority_epsilon: NonNegativeFloat = 1e-6
    """See ``priority_alpha``."""
    offline_dataset: InputPath | None = None
    """A dataset folder or a saved replay buffer, of which each minibatch has a share that never goes. Without
    shards it must fit into the memory of the trial's process."""
    offline_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """That share of each minibatch."""
    save_replay_buffer: bool = True
    """Save the buffer when the trial ends or is asked to stop."""
    replay_buffer_save_path: str | None = None
    """Folder in which each trial has one of its name to save it to; null for ``replay_buffer`` in the trial's
    own folder."""
    replay_in_checkpoint: Literal["auto", "full", "reference", "none"] = "auto"
    """What a checkpoint holds of the buffer. ``full``: all of it. ``reference``: what changes, and the names
    of files beside the checkpoints that are written once. ``auto``: ``full`` below 256 MB, else
    ``reference``. ``none``: nothing, and a resumed trial begins with an empty one."""
    replay_after_restore: Literal["checkpoint", "latest"] = "checkpoint"
    """With a spool, what becomes of steps that are newer than the checkpoint. ``checkpoint``: they are kept
    aside, in a folder that the trial's warnings name. ``latest``: they stay, workers begin new episodes, and
    the run is not exact."""
    num_replay_shards: Annotated[NonNegativeInt | Literal["auto"], BeforeValidator(_shards)] = "auto"
    """Actors that hold the buffer together; 0 holds it in the trial's own process. ``auto`` is 0 where
    rollout workers and learners are there too, else 1."""
    cpus_per_replay_shard: NonNegativeFloat = 1
    """CPUs of each shard."""
    durability: Literal["none", "spool"] = "none"
    """``spool``: shards write all to disk before they acknowledge it, and come back with it when they die.
    ``none``: training goes on with the shards that are left."""
    spool_path: str | None = None
    """With ``durability: spool``, a folder that all nodes reach; each trial has one of its own in it."""
    hot_bytes: NonNegativeInt | None = None
    """Bytes of sealed blocks that each shard keeps at hand; null for its share of half the object store."""

    def make_sampler(self, default: str) -> Sampler:
        """How steps are drawn, by ``default`` where the settings leave it open.

        Raises:
            ConfigError: no sampler has this name, or it needs scores of an agent, which training has not.
        """
        from rayrl.experience.replay.samplers import make_sampler, sampler_class, sampler_names

        name = self.sampler or default
        fit = [one for one in sampler_names() if not sampler_class(one).needs_scores]
        if name not in fit:
            why = "needs scores, which training does not give" if name in sampler_names() else "is not known"
            raise ConfigError(
                f"sampler {name!r} {why}",
                where="replay",
                remedy=f"one of {', '.join(fit)}; one's own is registered by the environment's module",
            )
        options = {"beta": self.priority_beta} if name == PRIORITIZED else {}
        return make_sampler(name, **options)

    def shards(self, *, env_runners: int, learners: int) -> int:
        """Number of shards; 0 for a buffer in the trial's own process."""
        if self.num_replay_shards != "auto":
            return self.num_replay_shards
        return 1 if env_runners or learners else 0

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.offline_dataset is None) != (self.offline_fraction == 0):
            raise ValueError(
                "offline_dataset and offline_fraction go together; give both, such as "
                "offline_dataset: demos, offline_fraction: 0.25"
            )
        if (self.durability == "spool") != (self.spool_path is not None):
            raise ValueError("durability: spool and spool_path go together; give both, or none")
        if self.durability == "spool" and self.num_replay_shards == 0:
            raise ValueError("durability: spool is of shards; set num_replay_shards to 1 or more")
        for name in ("spool_path", "replay_buffer_save_path"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_absolute():
                raise ValueError(f"{name} = {path!r}: give an absolute path, since trials run elsewhere")
        if self.replay_after_restore == "latest" and self.durability == "none":
            raise ValueError("replay_after_restore: latest is of what a spool holds; set durability: spool")
        return self
