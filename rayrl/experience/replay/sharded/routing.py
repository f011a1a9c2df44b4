"""Which shard a producer's batches go to."""

from __future__ import annotations

from rayrl.experience.replay.lanes import Lanes


class Routing:
    """Where batches go: each producer keeps to one shard, ``producer % shards``.

    Where there are fewer producers than shards each batch is dealt to all shards by lanes, and each episode
    keeps to one shard. What would go to a shard that is gone goes to one of the others instead, and no other
    producer or lane moves.

    Args:
        shards: number of shards.
        producers: number of producers.
    """

    def __init__(self, shards: int, producers: int) -> None:
        self.shards = shards
        self.deals = producers < shards
        self._alive = list(range(shards))

    def remove(self, shard: int) -> None:
        """Notes that a shard is gone."""
        self._alive.remove(shard)

    def targets(self, producer: int) -> dict[int, Lanes | None]:
        """The shards that a producer's batch goes to, and which lanes of it each gets; None: all of it."""
        if not self.deals:
            return {self.home(producer): None}
        taken: dict[int, tuple[int, ...]] = {}
        for lane in range(self.shards):
            home = self.home(lane)
            taken[home] = (*taken.get(home, ()), lane)
        return {shard: Lanes(self.shards, lanes) for shard, lanes in taken.items()}

    def home(self, number: int) -> int:
        """The shard of a producer, or of a lane."""
        shard = number % self.shards
        return shard if shard in self._alive else self._alive[number % len(self._alive)]
