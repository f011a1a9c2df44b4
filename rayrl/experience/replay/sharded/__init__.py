"""The replay buffer over shards, each an actor in a process of its own."""

from rayrl.experience.replay.sharded.buffer import ShardedReplayBuffer
from rayrl.experience.replay.sharded.options import ShardOptions

__all__ = ["ShardOptions", "ShardedReplayBuffer"]
