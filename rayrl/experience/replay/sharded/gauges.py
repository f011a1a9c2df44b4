"""Gauges of a replay buffer for Ray's metrics, which Prometheus collects from each node."""

from __future__ import annotations

from ray.util.metrics import Gauge

from rayrl.experience.replay.live_view import LiveView

_GAUGES = {
    "steps": "Steps held.",
    "fill": "Share of the capacity that is held.",
    "steps_added": "Steps added since the buffer was made.",
    "items_sampled": "Items drawn since the shard was started.",
    "version_lag_mean": "Policy versions between the newest one and that of a step, over all steps.",
    "version_lag_max": "The same of the oldest step.",
    "age_mean": "Steps added since a step came, mean over the steps held.",
    "sealed_blocks": "Sealed blocks in the store.",
    "hot_bytes": "Bytes of sealed blocks that are read where they lie.",
    "cold_bytes": "Bytes of sealed blocks that are fetched for each read.",
    "spilled_bytes": "Bytes of sealed blocks that Ray has spilled to disk.",
    "duplicates": "Trajectories passed over, since they had been added before.",
    "updates_dropped": "Updates of priorities whose steps were gone.",
}
_PARTITION = "partition_steps"


class ReplayGauges:
    """Gauges ``rayrl_replay_<name>``, each with the tags ``buffer``, ``shard`` and ``store``.

    Args:
        buffer: name of the buffer.
    """

    def __init__(self, buffer: str) -> None:
        self._buffer = buffer
        tags = ("buffer", "shard", "store")
        self._gauges = {name: Gauge(f"rayrl_replay_{name}", text, tags) for name, text in _GAUGES.items()}
        self._partitions = Gauge(
            f"rayrl_replay_{_PARTITION}", "Steps held of a partition.", (*tags, "partition")
        )

    def set(self, view: LiveView) -> None:
        """Shows what the shards of a buffer are like."""
        for rank, shard in view.shards.items():
            tags = {"buffer": self._buffer, "shard": str(rank), "store": shard.store}
            values = shard.metrics()
            for name, gauge in self._gauges.items():
                gauge.set(values[name], tags)
            for partition, steps in shard.partitions.items():
                self._partitions.set(steps, {**tags, "partition": partition})
