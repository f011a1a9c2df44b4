"""The spool: what keeps a shard's buffer on disk, so that nothing acknowledged is lost with its process."""

from rayrl.experience.replay.spool.spool import Spool

__all__ = ["Spool"]
