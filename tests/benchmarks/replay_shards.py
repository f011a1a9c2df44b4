"""The replay buffer over shards: rows per second across processes, beside TorchRL's buffer in a Ray actor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rayrl.experience.dataset import EnvInfo
from rayrl.experience.replay import PartitionOptions, ReplayOptions
from rayrl.experience.replay.sharded import ShardedReplayBuffer, ShardOptions
from rayrl.storage.spaces import Spaces
from tests.benchmarks.contest import Contest, Contestant, timed
from tests.benchmarks.replay_data import ACTIONS, WIDTHS, Steps, steps, whole_episodes
from tests.benchmarks.replay_peers import RayTorchRL

BATCH = {"17": 4096, "128": 4096, "pixels": 256}
STORED = {"17": 262_144, "128": 65_536, "pixels": 2048}
EPISODE = {"17": 512, "128": 512, "pixels": 64}
REPEATS = {"17": 10, "128": 10, "pixels": 2}


def sample(width: str, shards: int) -> Contest:
    """4,096 steps (256 of pixels) drawn from a buffer that nobody adds to."""
    return _contest(width, shards, adds=False, draws=True)


def sample_while_adding(width: str, shards: int) -> Contest:
    """4,096 steps (256 of pixels) drawn after as many were added; only those drawn are counted."""
    return _contest(width, shards, adds=True, draws=True)


def add(width: str, shards: int) -> Contest:
    """4,096 steps (256 of pixels) added at a time, until the last of them is in."""
    return _contest(width, shards, adds=True, draws=False)


ROWS: dict[str, Callable[[], Contest]] = {
    f"replay/shards/{name}/{width}x{shards}": partial(contest, width, shards)
    for name, contest in (("sample", sample), ("sample-while-adding", sample_while_adding), ("add", add))
    for width in STORED
    for shards in (1, 2)
}
"""By the width of an observation and the number of shards."""


def _contest(width: str, shards: int, *, adds: bool, draws: bool) -> Contest:
    of = steps(WIDTHS[width], BATCH[width], EPISODE[width])
    return Contest(
        unit="rows/s",
        rayrl=_rayrl(width, shards, of, adds=adds, draws=draws),
        peers={"torchrl": _torchrl(width, of, adds=adds, draws=draws)},
        goals={"torchrl": 3},
    )


def _buffer(width: str, shards: int) -> ShardedReplayBuffer:
    return ShardedReplayBuffer(
        Spaces(WIDTHS[width], ACTIONS),
        EnvInfo(id="rayrl/Benchmark-v0"),
        ReplayOptions(partitions={"online": PartitionOptions(capacity=STORED[width])}),
        shards=ShardOptions(shards=shards, cpus_per_shard=0),
        producers=shards,
    )


def _rayrl(width: str, shards: int, of: Steps, *, adds: bool, draws: bool) -> Contestant:
    buffer, batch = _buffer(width, shards), whole_episodes(of)
    for i in range(STORED[width] // len(of)):
        buffer.add(batch, producer=i % shards)
    buffer.flush()

    def work() -> None:
        for i in range(REPEATS[width]):
            if adds:
                buffer.add(batch, producer=i % shards)
            if draws:
                buffer.sample_transitions(len(of))
        if not draws:
            buffer.flush()

    return timed(REPEATS[width] * len(of), work)


def _torchrl(width: str, of: Steps, *, adds: bool, draws: bool) -> Contestant:
    peer: Any = RayTorchRL(STORED[width], len(of))
    for _ in range(STORED[width] // len(of)):
        peer.add(of)

    def work() -> None:
        for _ in range(REPEATS[width]):
            if adds:
                peer.add(of)
            if draws:
                peer.sample(len(of))

    return timed(REPEATS[width] * len(of), work)
