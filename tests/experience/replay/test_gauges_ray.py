"""The gauges of a buffer, as a collector of metrics reads them from the node."""

import re
import socket
import time
import urllib.request
from collections.abc import Iterator

import pytest

from rayrl.experience.replay import PartitionOptions, ReplayOptions
from rayrl.experience.replay.sharded import ShardedReplayBuffer, ShardOptions
from rayrl.experience.replay.sharded.gauges import ReplayGauges
from tests.experience.replay.building import ENV, SPACES, TERMINATED, came_from
from tests.local_ray import local_ray

_DEADLINE_S = 90.0


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Where a Ray of this test's own tells its metrics."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    report = {"metrics_report_interval_ms": 500}
    with local_ray(num_cpus=2, _metrics_export_port=port, _system_config=report):
        yield f"http://127.0.0.1:{port}/metrics"


def read(endpoint: str, gauge: str) -> dict[tuple[str, ...], float]:
    """Values of a gauge by shard, and partition where it has such."""
    with urllib.request.urlopen(endpoint, timeout=10) as answer:
        text = answer.read().decode()
    found = {}
    for tags, value in re.findall(rf"^ray_{gauge}{{(.*)}} (\S+)$", text, re.MULTILINE):
        by_name = dict(re.findall(r'(\w+)="([^"]*)"', tags))
        assert (by_name["buffer"], by_name["store"]) == ("run/trial", "object_store")
        found[tuple(by_name[name] for name in ("shard", "partition") if name in by_name)] = float(value)
    return found


def test_what_gauges_show_arrives_where_metrics_are_collected(endpoint: str) -> None:
    options = ReplayOptions(partitions={"online": PartitionOptions(capacity=100)}, block_rows=16)
    over = ShardOptions(shards=2, cpus_per_shard=0.1)
    of = ShardedReplayBuffer(SPACES, ENV, options, shards=over, producers=2)
    for producer, episodes in ((0, 2), (1, 3)):
        for e in range(episodes):
            of.add(came_from([(e, 0, 10, TERMINATED)], producer, e), producer=producer)
    of.flush()
    gauges, deadline, steps = ReplayGauges("run/trial"), time.monotonic() + _DEADLINE_S, {}
    while not steps and time.monotonic() < deadline:
        gauges.set(of.statistics())
        time.sleep(0.5)
        steps = _if_there(endpoint, "rayrl_replay_steps")
    assert steps == {("0",): 20, ("1",): 30}
    assert read(endpoint, "rayrl_replay_fill") == {("0",): 0.4, ("1",): 0.6}
    assert read(endpoint, "rayrl_replay_sealed_blocks") == {("0",): 1, ("1",): 1}
    assert read(endpoint, "rayrl_replay_partition_steps") == {("0", "online"): 20, ("1", "online"): 30}
    assert read(endpoint, "rayrl_replay_hot_bytes")["0",] > 0
    of.close()


def _if_there(endpoint: str, gauge: str) -> dict[tuple[str, ...], float]:
    try:
        return read(endpoint, gauge)
    except OSError:  # the node's agent is still starting
        return {}
