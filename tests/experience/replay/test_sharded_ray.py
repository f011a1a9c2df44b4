"""A buffer over real shards: it samples as one would, keeps episodes whole, and reports what is wrong."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
from scipy import stats

from rayrl.errors import ConfigError, DataError, RunError, SpaceError
from rayrl.experience.replay import PriorityOptions, ReplayBuffer, ReplayOptions
from rayrl.experience.replay.options import PartitionOptions
from rayrl.experience.replay.sharded import ShardedReplayBuffer, ShardOptions
from rayrl.experience.replay.sharded.gauges import ReplayGauges
from tests.experience.replay.building import ENV, OPEN, SPACES, TERMINATED, batch, came_from, in_domains

pytestmark = pytest.mark.usefixtures("ray_cluster")

Build = Callable[..., ShardedReplayBuffer]


def options(**given: Any) -> ReplayOptions:
    partitions = {"online": PartitionOptions(capacity=given.pop("capacity", 1000))}
    return ReplayOptions(partitions=partitions, block_rows=16, fragment_length=3, **given)


@pytest.fixture
def build() -> Iterator[Build]:
    """Makes buffers over shards, and ends them with the test."""
    made = []

    def make(shards: int = 2, producers: int = 8, **given: Any) -> ShardedReplayBuffer:
        over = ShardOptions(shards=shards, cpus_per_shard=0.1, **given.pop("shard_options", {}))
        made.append(ShardedReplayBuffer(SPACES, ENV, options(**given), shards=over, producers=producers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_one_shard_draws_what_a_buffer_in_this_process_draws(build: Build) -> None:
    over, inside = build(1), ReplayBuffer(SPACES, ENV, options())
    for e in range(10):
        one = came_from([(e, 0, 9, TERMINATED), (e + 50, 0, 4, TERMINATED)], 0, e)
        over.add(one)
        inside.add(one)
    for name in ("uniform", "recent", "high_reward", "balanced"):
        a, b = (of.sample_transitions(64, n_step=3, sampler=name) for of in (over, inside))
        assert a.columns.keys() == b.columns.keys()
        for column in a.columns:
            np.testing.assert_array_equal(a.columns[column], b.columns[column])
        assert a.row_ids.tolist() == b.row_ids.tolist()
    assert over.get_trajectory_statistics() == pytest.approx(inside.get_trajectory_statistics(), nan_ok=True)
    assert over.get_partition_statistics() == inside.get_partition_statistics()
    assert (len(over), over.num_trajectories) == (130, 20)


@pytest.mark.parametrize(
    ("shards", "name"), [(2, "prioritized"), pytest.param(4, "balanced", marks=pytest.mark.slow)]
)
def test_shards_sample_as_one_buffer_would(build: Build, shards: int, name: str) -> None:
    of = build(shards, producers=4, priorities=PriorityOptions(alpha=1.0, epsilon=0.0))
    lengths, domains = [3, 9, 4, 6, 2, 8], ["a", "b", "a", "a", "c", "a"]
    for e in range(6):
        of.add(in_domains([(e, 0, lengths[e], TERMINATED)], [domains[e]]), producer=e)
    all_steps = of.sample_transitions(4000)
    of.update_priorities(all_steps.row_ids, 1.0 + all_steps.columns["actions"] % 4, all_steps.shards)
    drawn = of.sample_transitions(20_000, sampler=name).columns["actions"]
    items = np.array([1000 * e + s for e in range(6) for s in range(lengths[e])])
    named = np.array(domains)[items // 1000]
    weights = {
        "uniform": np.ones(len(items)),
        "prioritized": 1.0 + items % 4,
        "balanced": np.array([1 / (named == domain).sum() for domain in named]),
    }[name]
    counts = [np.count_nonzero(drawn == item) for item in items]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts, 20_000 * weights / weights.sum()).pvalue > 1e-3


def test_producers_keep_to_a_shard_and_their_episodes_go_on_there(build: Build) -> None:
    of = build(2, producers=3)
    for sequence in range(5):
        for producer in range(3):
            of.add(came_from([(producer, 4 * sequence, 4, OPEN)], producer, sequence), producer=producer)
    drawn = of.sample_transitions(500)
    assert set(zip((drawn.actions // 1000).tolist(), drawn.shards.tolist(), strict=True)) == {
        (0, 0),
        (1, 1),
        (2, 0),
    }
    assert of.num_trajectories == 3
    assert {len(actions) for actions in np.split(of.get_all_trajectories().actions, 3)} == {20}


def test_a_single_producer_fills_shards_evenly_and_keeps_episodes_whole(build: Build) -> None:
    of = build(2, producers=1)
    for sequence in range(6):
        of.add(came_from([(slot, 3 * sequence, 3, OPEN) for slot in range(10)], 0, sequence))
    of.flush()
    drawn = of.sample_transitions(2000)
    shard_of = {}
    for episode, shard in zip((drawn.actions // 1000).tolist(), drawn.shards.tolist(), strict=True):
        assert shard_of.setdefault(episode, shard) == shard
    assert sorted(shard_of.values()) == [0] * 5 + [1] * 5
    assert (len(of), of.num_trajectories) == (180, 10)


def test_batches_and_priorities_by_reference(build: Build) -> None:
    @ray.remote(num_cpus=0.1)
    def made(sequence: int) -> Any:
        return came_from([(sequence, 0, 10, TERMINATED)], 0, sequence)

    @ray.remote(num_cpus=0.1, num_returns=3)
    def learned(drawn: Any) -> Any:
        sample = drawn.fetch()
        return sample.row_ids, np.where(sample.columns["actions"] == 4, 50.0, 0.0), sample.shards

    of = build(2, producers=1, priorities=PriorityOptions(alpha=1.0, epsilon=0.0))
    for sequence in range(4):
        of.add(made.remote(sequence))
    of.update_priorities(*learned.remote(of.draw_transitions([4000])[0]))
    drawn = of.sample_transitions(50, sampler="prioritized")
    assert set(drawn.actions.tolist()) == {4}
    assert (drawn.weights == 1).all()


def test_samples_for_several_learners_stay_out_of_this_process(build: Build) -> None:
    of = build(2, producers=1)
    for e in range(40):
        of.add(came_from([(e, 0, 20, TERMINATED)], 0, e))
    drawn = of.draw_transitions([700, 500])
    assert [len(one.fetch()) for one in drawn] == [700, 500]
    parts = [part for one in drawn for part in one.parts]
    found = ray.experimental.get_object_locations(parts)
    assert all(found[part]["node_ids"] for part in parts)  # one that came inline is on no node


def test_what_is_wrong_arrives_as_in_process(build: Build) -> None:
    of = build(2, priorities=PriorityOptions())
    with pytest.raises(DataError, match="no steps to draw: there are none"):
        of.sample_transitions(3)
    of.add(came_from([(0, 0, 4, TERMINATED)], 0, 0))
    other = batch([(1, 0, 2, TERMINATED)]).with_columns(obs=np.zeros((2, 3), np.float32))
    of.add(other)
    with pytest.raises(
        DataError, match=r"obs: is array float32 \(3,\), where the spaces ask for array float32 \(2,\)"
    ):
        of.flush()
    of.add(came_from([(1, 0, 4, TERMINATED)], 0, 1))
    of.flush()
    assert len(of) == 8
    with pytest.raises(DataError, match="no fragments of 9 steps to draw"):
        of.sample_fragments(2, 9)
    with pytest.raises(ConfigError, match="no sampler is named 'unifrom'; did you mean 'uniform'"):
        of.sample_transitions(1, sampler="unifrom")
    for wrong in (-1.0, np.nan):
        of.update_priorities(np.array([0, 1]), np.array([1.0, wrong]), np.zeros(2, np.int64))
        with pytest.raises(DataError, match=f"priorities: priority {wrong} at position 1"):
            of.flush()
    with pytest.raises(DataError, match="shards: of several shards it must be said"):
        of.update_priorities(np.array([0]), np.array([1.0]))


def test_fragments_trajectories_and_scores(build: Build) -> None:
    of = build(2, producers=1)
    for e in range(12):
        of.add(came_from([(e, 0, 3 + e % 5, TERMINATED)], 0, e))
    fragments = of.sample2(30, 4)
    assert (np.diff(fragments.actions, axis=1) == 1).all()
    whole = of.sample_trajectories(10, min_length=5)
    assert (np.diff(whole.offsets) >= 5).all()
    drawn = of.sample_by_on_policiness(30, lambda one: -(one.columns["actions"] // 1000).astype(float))
    assert (drawn.actions // 1000 <= 5).all()
    assert of.get_trajectory_statistics()["num_scored_trajectories"] == 12


def test_a_checkpoint_comes_back_in_the_same_number_of_shards_bitwise_and_in_another_whole(
    build: Build, tmp_path: Path
) -> None:
    of = build(2, producers=1, priorities=PriorityOptions())
    for e in range(30):
        of.add(came_from([(e, 0, 12, TERMINATED)], 0, e))
    drawn = of.sample_transitions(200)
    of.update_priorities(drawn.row_ids, np.abs(np.sin(drawn.row_ids)), drawn.shards)
    for mode in ("full", "reference"):
        of.save_checkpoint(tmp_path / mode, mode)  # type: ignore[arg-type]
    expected = of.sample_transitions(64, sampler="prioritized")
    of.add(came_from([(99, 0, 12, TERMINATED)], 0, 99))
    for mode in ("full", "reference"):
        of.restore_checkpoint(tmp_path / mode)
        again = of.sample_transitions(64, sampler="prioritized")
        for column in expected.columns:
            np.testing.assert_array_equal(again.columns[column], expected.columns[column])
        assert again.row_ids.tolist() == expected.row_ids.tolist()
    other = build(1, priorities=PriorityOptions())
    other.restore_checkpoint(tmp_path / "reference")
    assert sorted(other.get_all_trajectories().actions.tolist()) == sorted(
        1000 * e + s for e in range(30) for s in range(12)
    )
    inside = ReplayBuffer(SPACES, ENV, options(priorities=PriorityOptions()))
    inside.restore_checkpoint(tmp_path / "full")
    assert (len(inside), inside.num_trajectories) == (360, 30)
    assert inside.add(came_from([(0, 0, 12, TERMINATED)], 0, 5)).duplicates == 1


def test_the_live_view(build: Build) -> None:
    of = build(2, producers=1, capacity=400, shard_options={"hot_bytes": 2000})
    ReplayGauges("test").set(of.statistics())
    for e in range(30):
        versions = {name: np.array([e // 10]) for name in ("policy_version_min", "policy_version_max")}
        of.add(came_from([(e, 0, 10, TERMINATED)], 0, e).with_trajectory_columns(**versions))
    of.sample_transitions(100)
    of.add(came_from([(e, 0, 10, TERMINATED)], 0, e).with_trajectory_columns(**versions))
    view = of.statistics()
    assert (view.steps, view.trajectories, view.steps_added, view.items_sampled) == (300, 30, 300, 100)
    assert view.fill == 0.75
    assert view.duplicates == 1
    assert (view.newest_version, view.version_lag_max) == (2, 2)
    assert view.version_lag_mean == pytest.approx(1.0)
    assert view.store == "object_store"
    assert view.sealed_blocks == 18
    assert view.hot_bytes > 0 < view.cold_bytes
    assert view.age_max == 150
    assert view.age_mean == pytest.approx(75, abs=9)
    assert view.steps_per_s > 0 < view.samples_per_s
    assert view.shares == {"online": 1.0}
    assert [shard.steps for shard in view.shards.values()] == [150, 150]
    ReplayGauges("test").set(view)


@pytest.mark.parametrize("shards", [1, 3])
def test_a_saved_buffer_is_loaded_into_shards(build: Build, tmp_path: Path, shards: int) -> None:
    # 27 episodes, an equal part of which fills each of three shards.
    inside = ReplayBuffer(SPACES, ENV, options(capacity=27 * 12, priorities=PriorityOptions()))
    for e in range(30):  # of which the first three are evicted
        inside.add(came_from([(e, 0, 12, TERMINATED)], 0, e))
    drawn = inside.sample_transitions(200)
    inside.update_priorities(drawn.row_ids, np.abs(np.sin(drawn.row_ids)))
    saved = inside.save(tmp_path / "saved")
    over = ShardOptions(shards=shards, cpus_per_shard=0.1)
    of = ShardedReplayBuffer.load(saved, shards=over)
    try:
        expected = sorted(1000 * e + s for e in range(3, 30) for s in range(12))
        assert sorted(of.get_all_trajectories().actions.tolist()) == expected
        assert of.get_partition_statistics()["online"]["capacity"] == 324
        if shards == 1:
            again = inside.sample_transitions(64, sampler="prioritized")
            assert of.sample_transitions(64, sampler="prioritized").row_ids.tolist() == again.row_ids.tolist()
        else:
            assert [view.steps for view in of.statistics().shards.values()] == [108, 108, 108]
        of.add(came_from([(29, 0, 12, TERMINATED)], 0, 29))  # once more
        of.flush()
        assert len(of) == 324
    finally:
        of.close()


def test_other_spaces_and_a_spool_that_is_not_empty_are_refused(tmp_path: Path) -> None:
    inside = ReplayBuffer(SPACES, ENV, options())
    inside.add(batch([(0, 0, 5, TERMINATED)]))
    saved = inside.save(tmp_path / "saved")
    with pytest.raises(SpaceError, match="other spaces"):
        ShardedReplayBuffer.load(saved, gym.make("CartPole-v1"))
    over = ShardOptions(cpus_per_shard=0.1, durability="spool", spool=tmp_path / "spool")
    of = ShardedReplayBuffer.load(saved, shards=over)
    assert len(of) == 5
    of.close()
    with pytest.raises(RunError, match="its spool holds 5 steps"):
        ShardedReplayBuffer.load(saved, shards=over)


def test_batches_are_prepared_where_they_are_kept(build: Build) -> None:
    of = build(2)
    given = ray.put(came_from([(3, 0, 4, TERMINATED)], 0, 0))
    of.add(given, prepare=lambda one: one.with_columns(actions=-one.columns["actions"]))
    assert sorted(of.get_all_trajectories().actions.tolist()) == [-3003, -3002, -3001, -3000]


@pytest.mark.chaos
def test_new_priorities_outlive_a_shard_or_are_counted(build: Build, tmp_path: Path) -> None:
    for durability in ("spool", "none"):
        spool = tmp_path if durability == "spool" else None
        given = {"durability": durability, "spool": spool}
        of = build(2, producers=2, priorities=PriorityOptions(alpha=1.0), shard_options=given)
        for producer in (0, 1):
            of.add(came_from([(producer, 0, 10, OPEN)], producer, 0), producer=producer)
        drawn = of.sample_transitions(200)
        shown = np.asarray(drawn.columns["actions"])
        pid = ray.get(of._fleet.links[0].actor.process.remote())
        os.kill(pid, signal.SIGKILL)
        of.update_priorities(drawn.row_ids, np.where(shown % 2, 1.0, 0.0), drawn.shards)
        of.flush()
        again = np.asarray(of.sample_transitions(200, sampler="prioritized").columns["actions"])
        assert (again % 2).all()
        if durability == "spool":
            assert of.statistics().updates_dropped == 0
            assert set((again // 1000).tolist()) == {0, 1}
            assert of.warnings == [
                "replay shards died once and came back with all that they held; priorities began again at "
                "the highest"
            ]
        else:
            assert of.statistics().updates_dropped == (drawn.shards == 0).sum() > 0
            assert of.warnings[0].startswith("replay shard 0 was lost with 10 steps")
            of.update_priorities(drawn.row_ids, np.ones(200), drawn.shards)
            of.flush()
            assert of.statistics().updates_dropped == 2 * (drawn.shards == 0).sum()
        assert not of.exact
