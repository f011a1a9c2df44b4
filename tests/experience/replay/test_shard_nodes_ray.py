"""Shards beyond one node's memory, and on nodes that go away."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from gymnasium.spaces import Box, Discrete
from ray.cluster_utils import Cluster

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import offsets_of
from rayrl.experience.replay import PartitionOptions, ReplayOptions
from rayrl.experience.replay.sharded import ShardedReplayBuffer, ShardOptions
from rayrl.storage.spaces import Spaces
from tests.experience.replay.building import ENV, OPEN, SPACES, TERMINATED, came_from
from tests.local_ray import end_ray, local_ray

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

IMAGES = Spaces(Box(0, 255, (64, 64, 1), np.uint8), Discrete(1_000_000))


def images(number: int, steps: int) -> TrajectoryBatch:
    """An episode whose pixels, actions and rewards all show the step."""
    shown = number * steps + np.arange(steps)
    frames = np.broadcast_to((shown % 251).astype(np.uint8)[:, None, None, None], (steps, 64, 64, 1))
    return TrajectoryBatch(
        {"obs": np.ascontiguousarray(frames), "actions": shown, "rewards": shown.astype(np.float32)},
        offsets_of([steps]),
        {
            "episode_id": np.array([[0, number]], np.uint64),
            "first_step": np.zeros(1, np.int64),
            "terminated": np.array([True]),
            "truncated": np.array([False]),
            "final_obs": np.full((1, 64, 64, 1), (shown[-1] + 1) % 251, np.uint8),
        },
    )


def test_a_gigabyte_over_an_object_store_of_200_megabytes() -> None:
    with local_ray(object_store_memory=200 << 20):
        options = ReplayOptions(partitions={"online": PartitionOptions(capacity=None)})
        of = ShardedReplayBuffer(IMAGES, ENV, options, shards=ShardOptions(cpus_per_shard=0.1))
        episodes, steps = 136, 2048
        for number in range(episodes):
            of.add(images(number, steps))
        of.flush()
        view = of.statistics()
        assert view.steps == episodes * steps
        assert view.hot_bytes + view.cold_bytes + view.open_bytes > 1 << 30
        assert view.hot_bytes < 120 << 20
        assert view.spilled_bytes > 700 << 20
        for _ in range(2):
            drawn = of.sample_transitions(512)
            shown: Any = drawn.columns["actions"]
            pixels: Any = drawn.columns["obs"]
            after: Any = drawn.columns["next_obs"]
            assert (pixels == (shown % 251)[:, None, None, None]).all()
            assert (after == ((shown + 1) % 251)[:, None, None, None]).all()
        assert len(np.unique(shown // steps)) > 100
        of.close()


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head for this process, and nodes for shards that can be taken away."""
    end_ray()
    with tempfile.TemporaryDirectory(prefix="rn-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "num_gpus": 0, "object_store_memory": 100 << 20},
        )
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.parametrize("durability", ["spool", "none"])
def test_a_node_that_holds_a_shard_is_removed(two_nodes: Cluster, tmp_path: Path, durability: Any) -> None:
    nodes = [two_nodes.add_node(num_cpus=1, num_gpus=0, object_store_memory=100 << 20) for _ in range(2)]
    two_nodes.wait_for_nodes()
    spool = tmp_path if durability == "spool" else None
    options = ReplayOptions(partitions={"online": PartitionOptions(capacity=None)}, block_rows=256)
    shards = ShardOptions(shards=2, durability=durability, spool=spool)
    of = ShardedReplayBuffer(SPACES, ENV, options, shards=shards, producers=2)
    for sequence in range(60):
        for producer in (0, 1):
            of.add(came_from([(producer, 10 * sequence, 10, OPEN)], producer, sequence), producer=producer)
    of.flush()
    pid = ray.get(of._fleet.links[1].actor.process.remote())
    (gone,) = [node for node in nodes if _runs(node, pid)]
    if durability == "spool":
        two_nodes.add_node(num_cpus=1, num_gpus=0, object_store_memory=100 << 20)
    two_nodes.remove_node(gone, allow_graceful=False)
    of.add(came_from([(7, 0, 10, TERMINATED)], 1, 60), producer=1)
    of.flush()
    deadline = time.monotonic() + 60
    view = of.statistics()
    while durability == "none" and not view.lost_steps and time.monotonic() < deadline:
        time.sleep(0.2)  # what is left of the node may answer for a while
        view = of.statistics()
    drawn = of.sample_transitions(500)
    if durability == "spool":
        assert view.steps == 1210
    else:  # the last batch may have been acknowledged by what was left of the node
        assert (view.steps, view.lost_steps) in {(610, 600), (600, 610)}
    assert set(drawn.shards.tolist()) == ({0, 1} if durability == "spool" else {0})
    of.close()


def _runs(node: Any, pid: int) -> bool:
    """Whether a process is a worker of a node's raylet."""
    raylets = {process.process.pid for process in node.all_processes["raylet"]}
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) in raylets
