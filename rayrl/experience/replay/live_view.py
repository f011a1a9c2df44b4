"""LiveView: what a replay buffer is like at a moment, cheap enough to ask for every iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rayrl.experience.replay.buffer import ReplayBuffer


_SUMMED = (
    *("steps", "trajectories", "capacity", "steps_added", "items_sampled", "duplicates", "updates_dropped"),
    *("sealed_blocks", "hot_bytes", "cold_bytes", "spilled_bytes", "open_bytes", "index_bytes"),
)


@dataclass(frozen=True, slots=True)
class LiveView:
    """A buffer, or one of its shards.

    Args:
        steps: held.
        trajectories: held.
        capacity: most steps; 0 where there is no bound, or it is in trajectories.
        steps_added: since the buffer was made.
        items_sampled: since the process was started.
        duplicates: trajectories passed over, since their batch had been added before.
        updates_dropped: updates of priorities that came after their steps were evicted.
        newest_version: newest policy version that acted; -1 where none is known.
        version_lag_mean: policy versions between the newest one and that of a step, over all steps whose
            version is known. A trajectory counts with the newest version that acted in it.
        version_lag_max: of the oldest step.
        age_mean: row ids given out since a step came, within half a block, mean over all steps.
        age_max: of the oldest step.
        sealed_blocks: in the store.
        hot_bytes: of sealed blocks that are read where they lie.
        cold_bytes: of sealed blocks that are fetched for each read.
        spilled_bytes: of these, what Ray has spilled to disk.
        open_bytes: of the blocks that are being filled.
        index_bytes: of the index.
        store: ``heap``, ``object_store`` or ``spool``.
        partitions: steps held by partition.
        shards: the same of each shard.
        steps_per_s: added per second since the view before.
        samples_per_s: items drawn per second since the view before.
        lost_steps: that were on shards that died.
    """

    steps: int
    trajectories: int
    capacity: int
    steps_added: int
    items_sampled: int
    duplicates: int
    updates_dropped: int
    newest_version: int
    version_lag_mean: float
    version_lag_max: int
    age_mean: float
    age_max: int
    sealed_blocks: int
    hot_bytes: int
    cold_bytes: int
    spilled_bytes: int
    open_bytes: int
    index_bytes: int
    store: str
    partitions: dict[str, int]
    shards: dict[int, LiveView] = field(default_factory=dict)
    steps_per_s: float = 0.0
    samples_per_s: float = 0.0
    lost_steps: int = 0

    @property
    def fill(self) -> float:
        """Share of the capacity that is held; 0 where there is no bound."""
        return self.steps / self.capacity if self.capacity else 0.0

    @property
    def shares(self) -> dict[str, float]:
        """Share of the steps held, by partition."""
        return {name: steps / max(self.steps, 1) for name, steps in self.partitions.items()}

    def metrics(self) -> dict[str, float]:
        """The numbers by name, and the share of each partition."""
        plain = {
            one.name: float(getattr(self, one.name))
            for one in fields(self)
            if isinstance(getattr(self, one.name), int | float)
        }
        shares = {f"share/{name}": share for name, share in self.shares.items()}
        return {"fill": self.fill, **plain, **shares}


def live_view(buffer: ReplayBuffer) -> LiveView:
    """What a buffer in this process is like."""
    storage = buffer.storage
    index, hot, store = storage.index, storage.columns.hot, storage.store
    records = index.trajectories.rows
    versions, lengths = records["version"], records["length"]
    known = (records["id"] >= 0) & (versions >= 0)
    newest = int(versions[known].max(initial=-1))
    lag = newest - versions[known]
    entries = [block for partition in storage.partitions for block in partition.blocks]
    blocks = index.blocks.rows[entries]
    live = blocks["live"].astype(np.int64)
    given_out = index.next_number * index.block_rows
    last = max((int(b["number"]) * index.block_rows + int(b["used"]) for b in blocks), default=given_out)
    middle = blocks["number"] * index.block_rows + blocks["used"] / 2
    first = min(
        (
            int(index.live_rows(b).offset[:1].sum()) + int(n) * index.block_rows
            for b, n in zip(entries[:1], blocks["number"][:1], strict=True)
        ),
        default=last,
    )
    opened = [one.open_block for one in storage.partitions if one.open_block is not None]
    capacities = [one.options.capacity for one in storage.partitions if one.options.unit == "steps"]
    bounded = len(capacities) == len(storage.partitions) and None not in capacities
    spilled: Any = getattr(store, "spilled_bytes", None)
    return LiveView(
        steps=len(buffer),
        trajectories=buffer.num_trajectories,
        capacity=sum(capacity or 0 for capacity in capacities) if bounded else 0,
        steps_added=sum(one.counters.steps_added for one in storage.partitions),
        items_sampled=buffer.items_sampled,
        duplicates=sum(one.counters.duplicates for one in storage.partitions),
        updates_dropped=buffer.updates_dropped,
        newest_version=newest,
        version_lag_mean=float(np.average(lag, weights=lengths[known])) if len(lag) else 0.0,
        version_lag_max=int(lag.max(initial=0)),
        age_mean=float(last - np.average(middle, weights=live)) if live.sum() else 0.0,
        age_max=last - first,
        sealed_blocks=len(entries) - len(opened),
        hot_bytes=hot.hot_bytes,
        cold_bytes=hot.cold_bytes,
        spilled_bytes=int(spilled()) if spilled is not None and hot.cold_bytes else 0,
        open_bytes=sum(one.nbytes for one in opened),
        index_bytes=index.nbytes,
        store=store.name,
        partitions={one.name: one.counters.steps for one in storage.partitions},
    )


def merge_views(
    views: dict[int, LiveView], lost_steps: int, before: tuple[float, LiveView | None]
) -> LiveView:
    """What all shards together are like.

    Args:
        views: of the shards, by number.
        lost_steps: steps that were on shards that died.
        before: seconds since the view before, and that view.
    """
    parts = list(views.values())
    newest = max(part.newest_version for part in parts)
    summed = {name: sum(getattr(part, name) for part in parts) for name in _SUMMED}
    # A shard's lag is to its own newest version; to that of all it is as much more as that is newer.
    lags = [part.version_lag_mean + newest - part.newest_version for part in parts]
    oldest = [
        part.version_lag_max + newest - part.newest_version for part in parts if part.newest_version >= 0
    ]
    elapsed, earlier = before
    added = summed["steps_added"] - (earlier.steps_added if earlier is not None else 0)
    sampled = summed["items_sampled"] - (earlier.items_sampled if earlier is not None else 0)
    return LiveView(
        **summed,
        newest_version=newest,
        version_lag_mean=_average(lags, parts) if newest >= 0 else 0.0,
        version_lag_max=max(oldest, default=0),
        age_mean=_average([part.age_mean for part in parts], parts),
        age_max=max(part.age_max for part in parts),
        store=parts[0].store,
        partitions={name: sum(part.partitions[name] for part in parts) for name in parts[0].partitions},
        shards=views,
        steps_per_s=max(added, 0) / elapsed,
        samples_per_s=max(sampled, 0) / elapsed,
        lost_steps=lost_steps,
    )


def _average(values: Sequence[float], parts: Sequence[LiveView]) -> float:
    weights = [part.steps for part in parts]
    return float(np.average(values, weights=weights)) if sum(weights) else 0.0
