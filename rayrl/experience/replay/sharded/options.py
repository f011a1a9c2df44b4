"""Options of a replay buffer over shards."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import pydantic

from rayrl.config.base import Config
from rayrl.experience.replay.options import PartitionOptions, ReplayOptions


class ShardOptions(Config):
    """How many shards there are, and what becomes of what they hold when one dies."""

    shards: pydantic.PositiveInt = 1
    """Actors that hold the buffer together."""
    durability: Literal["none", "spool"] = "none"
    """``none``: sealed blocks are in the object store; a shard that dies is gone, and the rest goes on.
    ``spool``: all is on disk before it is acknowledged; a shard that dies comes back with it."""
    spool: Path | None = None
    """Folder of the spool, which all nodes that a shard may come back on can reach."""
    hot_bytes: pydantic.NonNegativeInt | None = None
    """Bytes of sealed blocks that each shard keeps at hand. None: half of its node's object store, divided by
    the number of shards; of a spool all, since mapped pages are the operating system's to keep or drop."""
    cpus_per_shard: pydantic.NonNegativeFloat = 1
    """CPUs that each shard takes of the cluster."""
    adds_in_flight: pydantic.PositiveInt = 4
    """Batches that may be on their way to a shard; an add beyond that waits for the oldest one."""
    answer_timeout_s: pydantic.PositiveFloat = 120
    """After this long without an answer a shard is taken for dead."""
    restart_timeout_s: pydantic.PositiveFloat = 120
    """How long a shard with a spool may take to come back."""

    @pydantic.model_validator(mode="after")
    def _spool_is_given(self) -> Self:
        if (self.durability == "spool") != (self.spool is not None):
            raise ValueError("durability 'spool' needs spool, the folder of the spool, and 'none' has none")
        return self

    @property
    def bundles(self) -> list[dict[str, float]]:
        """What each shard takes of the cluster, for a trial's resource request."""
        return [{"CPU": self.cpus_per_shard}] * self.shards


def share_of(options: ReplayOptions, rank: int, shards: int) -> ReplayOptions:
    """The options of one shard: its part of every capacity; the parts add up."""

    def share(partition: PartitionOptions) -> PartitionOptions:
        if partition.capacity is None:
            return partition
        part = partition.capacity // shards + (rank < partition.capacity % shards)
        return partition.model_copy(update={"capacity": max(part, 1)})

    partitions = {name: share(partition) for name, partition in options.partitions.items()}
    return options.model_copy(update={"partitions": partitions})
