"""Shards that are killed: with a spool nothing acknowledged is lost; without, the rest goes on."""

import logging
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from rayrl.errors import StorageError, TrainingError
from rayrl.experience.replay import PartitionOptions, ReplayBuffer, ReplayOptions
from rayrl.experience.replay.sharded import ShardedReplayBuffer, ShardOptions
from tests.experience.replay.building import ENV, OPEN, SPACES, came_from

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("ray_cluster")]

Build = Callable[..., ShardedReplayBuffer]


@pytest.fixture
def build() -> Iterator[Build]:
    """Makes buffers over shards, and ends them with the test."""
    made = []

    def make(shards: int = 2, producers: int = 2, **given: Any) -> ShardedReplayBuffer:
        over = ShardOptions(shards=shards, cpus_per_shard=0.1, **given)
        partitions = {"online": PartitionOptions(capacity=None)}
        options = ReplayOptions(partitions=partitions, block_rows=256)
        made.append(ShardedReplayBuffer(SPACES, ENV, options, shards=over, producers=producers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def kill(of: ShardedReplayBuffer, rank: int) -> None:
    """Ends a shard as the kernel would."""
    pid = ray.get(of._fleet.links[rank].actor.process.remote())
    os.kill(pid, signal.SIGKILL)


def part(producer: int, sequence: int) -> Any:
    return came_from([(producer, 10 * sequence, 10, OPEN)], producer, sequence)


def shown(of: ShardedReplayBuffer) -> list[int]:
    actions: list[int] = of.get_all_trajectories().actions.tolist()
    return sorted(actions)


def test_with_a_spool_all_that_was_added_is_there_once(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of = build(durability="spool", spool=tmp_path)
    sent = 0
    for death in range(3):
        for _ in range(70):  # some of them are on their way when the shard dies
            for producer in (0, 1):
                of.add(part(producer, sent), producer=producer)
            sent += 1
        kill(of, death % 2)
    of.flush()
    assert shown(of) == sorted(1000 * p + s for p in (0, 1) for s in range(10 * sent))
    assert of.num_trajectories == 2  # the episodes go on over the deaths
    assert of.sample_transitions(64).shards.max() == 1
    assert "all that it had acknowledged is there, and priorities begin again" in caplog.text
    for producer in (0, 1):  # and again, as after a restart of a worker's owner
        of.add(part(producer, sent - 1), producer=producer)
    of.flush()
    assert len(of) == 20 * sent


def test_without_a_spool_the_rest_goes_on_and_says_what_is_lost(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    of = build()
    for sequence in range(50):
        for producer in (0, 1):
            of.add(part(producer, sequence), producer=producer)
    of.flush()
    actor = of._fleet.links[0].actor
    kill(of, 0)
    with caplog.at_level(logging.WARNING):
        drawn = of.sample_transitions(100)
    assert set(drawn.shards.tolist()) == {1}
    assert "replay shard 0 is lost with 500 steps" in caplog.text
    for sequence in range(50, 60):
        for producer in (0, 1):
            of.add(part(producer, sequence), producer=producer)
    of.flush()
    assert shown(of) == sorted([*range(500, 600), *range(1000, 1600)])
    with pytest.raises(ray.exceptions.RayActorError):  # it stays dead
        ray.get(actor.size.remote())
    kill(of, 1)
    with pytest.raises(TrainingError, match="all 2 replay shards are lost, with 12"):
        of.sample_transitions(1)


@pytest.mark.parametrize("mode", ["full", "reference"])
def test_what_is_left_without_a_spool_is_saved_and_restored(build: Build, tmp_path: Path, mode: Any) -> None:
    of = build()
    for sequence in range(20):
        for producer in (0, 1):
            of.add(part(producer, sequence), producer=producer)
    of.flush()
    kill(of, 0)
    left = shown(of)
    assert 0 < len(left) < 400
    saved = ReplayBuffer.load(of.save(tmp_path / "saved"))
    assert len(saved) == len(left)
    of.save_checkpoint(tmp_path / "checkpoint", mode)
    # Into as many shards as there were.
    other = build()
    other.restore_checkpoint(tmp_path / "checkpoint")
    assert shown(other) == left


def test_what_was_on_its_way_to_a_dead_shard_goes_to_the_others(build: Build) -> None:
    of = build(producers=1)
    of.flush()
    kill(of, 0)
    batches = [came_from([(e, 0, 4, OPEN) for e in range(8)], 0, s, epoch=0) for s in range(1)]
    for one in batches:
        of.add(one)
    of.flush()
    assert len(of) == 32


def test_a_sample_outlives_the_shard_that_it_is_from(build: Build) -> None:
    of = build()
    for producer in (0, 1):
        of.add(part(producer, 0), producer=producer)
    (drawn,) = of.draw_transitions([6000])
    kill(of, 0)
    kill(of, 1)
    assert len(drawn.fetch()) == 6000


def test_a_full_spool_disk_fails_the_add_and_loses_nothing(build: Build, tmp_path: Path) -> None:
    of = build(1, durability="spool", spool=tmp_path)
    for sequence in range(3):
        of.add(part(0, sequence))
    of.flush()
    pid = ray.get(of._fleet.links[0].actor.process.remote())
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    refused = []
    for sequence in range(3, 30):
        try:
            of.add(part(0, sequence))
            of.flush()
        except StorageError as error:
            refused.append(str(error))
    assert 0 < len(refused) < 27
    assert all("write-ahead file: the file would exceed the size limit" in text for text in refused)
    held = 10 * (30 - len(refused))
    assert len(of) == held
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    of.add(came_from([(5, 0, 10, OPEN)], 0, 30))
    of.flush()
    kill(of, 0)
    assert len(of) == held + 10
