"""What a collector makes of environments whose values reveal where they come from."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from rayrl.experience.batch import TrajectoryBatch
from rayrl.rollout.behavior import RandomBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.episodes import FinishedEpisodes
from rayrl.rollout.origin import Origin, slots_of
from tests.rollout.counting_env import (
    KINDS,
    MODES,
    CountingVectorEnv,
    RightActions,
    check_batch,
    length_of,
    parts_of,
    reward_of,
    shown_seed,
    steps_of,
    success_of,
    sync_env,
    uninterrupted,
)

ORIGIN = Origin("test", seed=3)


def collector(num_envs: int, mode: AutoresetMode, kind: str = "vector", *, native: bool = False) -> Collector:
    make: Any = CountingVectorEnv if native else sync_env
    return Collector(partial(make, num_envs, mode, kind=kind), ORIGIN, max_env_failures=0)


vectorizations = pytest.mark.parametrize("native", [False, True], ids=["sync", "native"])
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def seeds(num_envs: int, sequence: int = 0, kind: str = "vector") -> list[int]:
    first = ORIGIN.reset_seed(0, sequence, 0)
    return [shown_seed(kind, first + slot) for slot in range(num_envs)]


@pytest.mark.parametrize("kind", KINDS)
@modes
@vectorizations
def test_batches_continue_each_other(kind: str, mode: AutoresetMode, native: bool) -> None:
    collecting = collector(3, mode, kind, native=native)
    parts, ids, episodes = [], {}, []
    for num_steps in (10, 3, 1, 2, 25, 9, 30):
        rollout = collecting.collect(RightActions(), num_steps=num_steps, policy_version=num_steps)
        batch = rollout.batch
        assert batch.num_steps == num_steps
        found = check_batch(batch)
        columns: Any = batch.trajectory_columns
        for part, episode_id in zip(found, columns["episode_id"].tolist(), strict=True):
            ids.setdefault(part[:2], set()).add(tuple(episode_id))
        assert (np.diff(slots_of(columns["episode_id"])) >= 0).all()
        parts += found
        episodes.append(rollout.episodes)

    steps = steps_of(parts)
    assert sorted(steps) == sorted(seeds(3, kind=kind))
    for seed, taken in steps.items():
        assert taken == uninterrupted(seed, len(taken))
    assert all(len(of_episode) == 1 for of_episode in ids.values())
    assert len(set.union(*ids.values())) == len(ids)

    ended = FinishedEpisodes.concat(episodes)
    over = [part for part in parts if part[2] + part[3] == length_of(*part[:2])]
    assert ended.lengths.tolist() == [length_of(*part[:2]) for part in over]
    sums = [sum(reward_of(e, t) for t in range(length_of(seed, e))) for seed, e, *_ in over]
    assert ended.returns.tolist() == sums
    np.testing.assert_array_equal(ended.successes, [success_of(part[1]) for part in over])


@modes
@vectorizations
def test_rows_of_a_vector_step_that_are_too_many_open_the_next_batch(
    mode: AutoresetMode, native: bool
) -> None:
    collecting = collector(64, mode, native=native)
    batches = [collecting.collect(RightActions(), num_steps=10, policy_version=v).batch for v in range(8)]
    assert [batch.num_steps for batch in batches] == [10] * 8
    # The first vector step gives 64 rows: six batches of ten, and four rows that open the seventh.
    assert [np.unique(b.trajectory_columns["policy_version_max"]).tolist() for b in batches[:6]] == [[0]] * 6
    assert batches[6].trajectory_columns["policy_version_min"].tolist().count(0) == 4
    parts = [part for batch in batches for part in check_batch(batch)]
    for seed, taken in steps_of(parts).items():
        assert taken == uninterrupted(seed, len(taken))


@modes
@vectorizations
def test_versions_span_those_that_acted(mode: AutoresetMode, native: bool) -> None:
    collecting = collector(3, mode, native=native)
    collecting.collect(RightActions(), num_steps=1, policy_version=4)
    columns: Any = collecting.collect(RightActions(), num_steps=20, policy_version=5).batch.trajectory_columns
    assert set(columns["policy_version_max"]) <= {4, 5}
    # Two rows of the first vector step are left for the second batch, and are still of version 4.
    assert (columns["policy_version_min"] == 4).sum() == 2
    assert (columns["sequence"] == 1).all()
    assert (columns["producer"] == 0).all()


@modes
@vectorizations
def test_whole_episodes(mode: AutoresetMode, native: bool) -> None:
    collecting = collector(4, mode, native=native)
    collecting.collect(RightActions(), num_steps=7)
    rollout = collecting.collect(RightActions(), num_episodes=9)
    found = check_batch(rollout.batch)
    assert len(rollout.episodes) == rollout.batch.num_trajectories >= 9
    assert all(first == 0 and steps == length_of(seed, episode) for seed, episode, first, steps in found)
    assert {seed for seed, *_ in found} <= set(seeds(4, 1))
    # What follows begins anew.
    after = check_batch(collecting.collect(RightActions(), num_steps=8).batch)
    assert {seed for seed, *_ in after} == set(seeds(4, 2))


@modes
@vectorizations
def test_one_episode_each(mode: AutoresetMode, native: bool) -> None:
    collecting = collector(5, mode, native=native)
    collecting.collect(RightActions(), num_steps=7)
    found = check_batch(collecting.collect_one_each(RightActions(), max_steps=50).batch)
    assert found == [(seed, 0, 0, length_of(seed, 0)) for seed in seeds(5, 1)]
    assert len({steps for *_, steps in found}) == 5  # (seed + slot) % 5 takes every value


@modes
@vectorizations
def test_one_episode_each_is_cut_at_a_number_of_steps(mode: AutoresetMode, native: bool) -> None:
    rollout = collector(5, mode, native=native).collect_one_each(RightActions(), max_steps=3)
    found = check_batch(rollout.batch)
    assert [steps for *_, steps in found] == [min(length_of(seed, 0), 3) for seed, *_ in found]
    assert len(rollout.episodes) == sum(length_of(seed, 0) <= 3 for seed, *_ in found)


@modes
@vectorizations
def test_force_reset_begins_new_episodes(mode: AutoresetMode, native: bool) -> None:
    collecting = collector(3, mode, native=native)
    before: Any = collecting.collect(RightActions(), num_steps=11).batch.trajectory_columns
    after = collecting.collect(RightActions(), num_steps=11, force_reset=True).batch
    assert after.num_steps == 11
    steps = steps_of(check_batch(after))
    assert sorted(steps) == sorted(seeds(3, 1))
    for seed, taken in steps.items():
        assert taken == uninterrupted(seed, len(taken))
    ids: Any = after.trajectory_columns["episode_id"]
    assert not set(map(tuple, before["episode_id"].tolist())) & set(map(tuple, ids.tolist()))


class Untagged(RightActions):
    """Keeps other columns."""

    columns = {}  # noqa: RUF012

    def act(self, env: VectorEnv, buffer: Any, idle: Any) -> Any:
        buffer.steps["tag"] = np.empty((buffer.capacity, env.num_envs, 2))
        actions = super().act(env, buffer, idle)
        del buffer.steps["tag"]
        return actions


@modes
@vectorizations
def test_another_kind_of_behaviour_drops_the_rows_left_for_it(mode: AutoresetMode, native: bool) -> None:
    collecting = collector(4, mode, native=native)
    before = check_batch(collecting.collect(RightActions(), num_steps=1).batch)
    between = collecting.collect(Untagged(), num_steps=20).batch
    assert between.num_steps == 20
    assert "tag" not in between.columns
    after = check_batch(collecting.collect(RightActions(), num_steps=30).batch)
    taken = steps_of(before + parts_of(between) + after)
    lost = {seed: set(uninterrupted(seed, 60)) - set(steps) for seed, steps in taken.items()}
    lost = {seed: {step for step in steps if step < taken[seed][-1]} for seed, steps in lost.items()}
    # The first vector step made four rows; three were left.
    assert [(0, 0) in steps for steps in lost.values()] == [False, True, True, True]
    assert 3 <= sum(map(len, lost.values())) <= 3 + 3


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_sequence_of_calls(data: st.DataObject) -> None:
    num_envs = data.draw(st.integers(1, 6))
    mode = data.draw(st.sampled_from(MODES))
    collecting = collector(num_envs, mode, data.draw(st.sampled_from(KINDS)), native=data.draw(st.booleans()))
    steps: dict[int, list[tuple[int, int]]] = {}
    seen: set[tuple[int, int]] = set()
    for sequence in range(data.draw(st.integers(1, 6))):
        call = data.draw(st.sampled_from(["steps", "steps", "steps", "reset", "episodes", "one each"]))
        count = data.draw(st.integers(1, 40))
        if call == "episodes":
            batch = collecting.collect(RightActions(), num_episodes=count).batch
        elif call == "one each":
            batch = collecting.collect_one_each(RightActions(), max_steps=count).batch
        else:
            batch = collecting.collect(RightActions(), num_steps=count, force_reset=call == "reset").batch
            assert batch.num_steps == count
        found = check_batch(batch)
        assert (batch.trajectory_columns["sequence"] == sequence).all()
        if call != "steps":
            steps.clear()
        for seed, taken in steps_of(found).items():
            steps.setdefault(seed, []).extend(taken)
        assert all(taken == uninterrupted(seed, len(taken)) for seed, taken in steps.items())
        ids: Any = batch.trajectory_columns["episode_id"]
        begun = {tuple(i) for i, part in zip(ids.tolist(), found, strict=True) if part[2] == 0}
        assert not begun & seen
        seen |= begun


def test_buffers_grow_with_what_is_asked_for() -> None:
    collecting = collector(2, AutoresetMode.SAME_STEP)
    parts = []
    for num_steps in (1, 2, 100, 3, 1000):
        parts += check_batch(collecting.collect(RightActions(), num_steps=num_steps).batch)
    for seed, taken in steps_of(parts).items():
        assert taken == uninterrupted(seed, len(taken))


@modes
def test_random_actions_are_of_the_space_and_of_the_seed(mode: AutoresetMode) -> None:
    def batch(seed: int) -> TrajectoryBatch:
        import gymnasium as gym

        make = partial(gym.vector.SyncVectorEnv, [lambda: gym.make("Acrobot-v1")] * 2, autoreset_mode=mode)
        behavior = RandomBehavior(gym.spaces.Discrete(3))
        return Collector(make, Origin("random", seed)).collect(behavior, num_steps=300).batch

    counts = np.bincount(batch(0).columns["actions"])  # type: ignore[arg-type]
    assert counts.shape == (3,)
    assert counts.min() > 60
    assert batch(0) == batch(0)
    assert batch(0) != batch(1)


@pytest.mark.parametrize(
    "asked", [{}, {"num_steps": 1, "num_episodes": 1}, {"num_steps": 0}, {"num_episodes": -1}]
)
def test_what_to_collect_is_to_be_said(asked: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="num_steps"):
        collector(1, AutoresetMode.SAME_STEP).collect(RightActions(), **asked)


@pytest.mark.parametrize("success", [bool, float, int, np.bool_, np.float32, np.array, lambda value: None])
@modes
def test_success_in_every_form(success: Any, mode: AutoresetMode) -> None:
    collecting = Collector(partial(sync_env, 3, mode, success=success), ORIGIN)
    episodes = collecting.collect(RightActions(), num_episodes=20).episodes
    known = [success_of(episode) for episode in range(3)] if success(True) is not None else [np.nan]
    assert {str(value) for value in episodes.successes} == {str(np.float32(value)) for value in known}


@modes
def test_success_is_unknown_where_the_environment_does_not_say(mode: AutoresetMode) -> None:
    collecting = Collector(partial(sync_env, 3, mode, success=None), ORIGIN)
    assert np.isnan(collecting.collect(RightActions(), num_episodes=5).episodes.successes).all()
