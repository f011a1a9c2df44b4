"""Environments that raise: what is lost, what is kept, and when it is enough."""

from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from rayrl.errors import EnvError
from rayrl.rollout.collector import Collector
from rayrl.rollout.origin import Origin, slots_of
from tests.rollout.counting_env import (
    MODES,
    CountingEnv,
    RightActions,
    check_batch,
    length_of,
    steps_of,
    uninterrupted,
)

ORIGIN = Origin("test", seed=3)
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


KINDS = ("steps", "episodes", "one each")


class Fate:
    """Raises at some of the calls that all sub-environments make, counted by kind from 0."""

    def __init__(self, **at: Collection[int]) -> None:
        self.at = at
        self.calls: Counter[str] = Counter()
        self.envs: list[VectorEnv] = []

    def meet(self, kind: str) -> None:
        call = self.calls[kind]
        self.calls[kind] += 1
        if call in self.at.get(kind, ()):
            raise RuntimeError(f"fate at {kind} {call}")

    def env(self, num_envs: int, mode: AutoresetMode) -> VectorEnv:
        vector = SyncVectorEnv([partial(FatedEnv, self, mode)] * num_envs, copy=False, autoreset_mode=mode)
        self.envs.append(vector)
        return vector


class FatedEnv(CountingEnv):
    def __init__(self, fate: Fate, mode: AutoresetMode) -> None:
        super().__init__(reuses=mode is not AutoresetMode.SAME_STEP)
        self._fate = fate
        fate.meet("make")

    def reset(self, **kwargs: Any) -> Any:
        self._fate.meet("reset")
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        self._fate.meet("step")
        return super().step(action)

    def close(self) -> None:
        self._fate.meet("close")


def collector(fate: Fate, num_envs: int, mode: AutoresetMode, limit: int = 10) -> Collector:
    return Collector(partial(fate.env, num_envs, mode), ORIGIN, max_env_failures=limit)


def seeds(num_envs: int, sequence: int = 0, attempt: int = 0) -> list[int]:
    return [ORIGIN.reset_seed(0, sequence, attempt) + slot for slot in range(num_envs)]


@modes
def test_open_episodes_are_lost_and_no_others(mode: AutoresetMode) -> None:
    # The lengths of the first three episodes of the three sub-environments are those of their seeds.
    fate = Fate(step=[25])
    rollout = collector(fate, 3, mode).collect(RightActions(), num_steps=40)
    assert rollout.env_failures == 1
    assert rollout.batch.num_steps == 40
    parts = check_batch(rollout.batch)
    before = [part for part in parts if part[0] in seeds(3)]
    after = [part for part in parts if part[0] in seeds(3, attempt=1)]
    assert before + after == parts
    assert before
    assert all(first == 0 and steps == length_of(seed, episode) for seed, episode, first, steps in before)
    for seed, taken in steps_of(after).items():
        assert taken == uninterrupted(seed, len(taken))
    ids: Any = rollout.batch.trajectory_columns["episode_id"]
    assert len(np.unique(ids, axis=0)) == len(parts)
    assert len(rollout.episodes) == sum(f + n == length_of(seed, e) for seed, e, f, n in parts)


@modes
def test_parts_that_were_delivered_stay_without_their_end(mode: AutoresetMode) -> None:
    fate = Fate(step=[3])
    collecting = collector(fate, 3, mode)
    delivered = check_batch(collecting.collect(RightActions(), num_steps=2).batch)
    # The third row of the first vector step was left for this batch, and opens it if its episode is over.
    batch = collecting.collect(RightActions(), num_steps=9).batch
    assert batch.num_steps == 9
    parts = check_batch(batch)
    left = [part for part in parts if part[0] in seeds(3)]
    assert left == [(seed, 0, 0, 1) for seed in seeds(3)[2:] if length_of(seed, 0) == 1]
    assert [steps for *_, steps in delivered] == [1, 1]


@modes
@settings(max_examples=60, deadline=None)
@given(
    num_envs=st.integers(1, 4),
    calls=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 20)), max_size=5),
    steps=st.frozensets(st.integers(0, 150), max_size=8),
    resets=st.frozensets(st.integers(0, 60), max_size=4),
    makes=st.frozensets(st.integers(4, 12), max_size=2),
)
def test_any_fate(
    mode: AutoresetMode,
    num_envs: int,
    calls: list[tuple[str, int]],
    steps: frozenset[int],
    resets: frozenset[int],
    makes: frozenset[int],
) -> None:
    fate = Fate(step=steps, reset=resets, make=makes)
    collecting = collector(fate, num_envs, mode, limit=1000)
    taken: dict[int, list[tuple[int, int]]] = {}
    failures = 0
    for kind, count in calls:
        if kind == "episodes":
            rollout = collecting.collect(RightActions(), num_episodes=count)
            assert len(rollout.episodes) == rollout.batch.num_trajectories >= count
        elif kind == "one each":
            rollout = collecting.collect_one_each(RightActions(), max_steps=count)
            ids: Any = rollout.batch.trajectory_columns["episode_id"]
            assert slots_of(ids).tolist() == list(range(num_envs))
        else:
            rollout = collecting.collect(RightActions(), num_steps=count)
            assert rollout.batch.num_steps == count
        failures += rollout.env_failures
        for seed, new in steps_of(check_batch(rollout.batch)).items():
            taken.setdefault(seed, []).extend(new)
    for seed, all_of_it in taken.items():
        assert all_of_it == uninterrupted(seed, len(all_of_it))
    assert failures == sum(at < fate.calls[kind] for kind, calls in fate.at.items() for at in calls)


@pytest.mark.parametrize(
    ("doomed", "message"),
    [
        ({"step": range(10**9)}, "fate at step"),
        ({"reset": range(10**9)}, "fate at reset"),
        ({"step": range(10**9), "make": range(3, 10**9)}, "fate at make"),
    ],
)
def test_the_limit_ends_the_run_with_the_traceback(doomed: dict[str, range], message: str) -> None:
    fate = Fate(**doomed)
    with pytest.raises(EnvError, match="raised 4 times with no episode or batch finished") as raised:
        collector(fate, 3, AutoresetMode.NEXT_STEP, limit=3).collect(RightActions(), num_steps=8)
    assert message in str(raised.value)
    assert "test_collector_faults.py" in str(raised.value)
    assert "train.options.max_env_failures" in (raised.value.remedy or "")
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert all(env.closed for env in fate.envs[:-1])


class NeverEnds(FatedEnv):
    def step(self, action: Any) -> Any:
        if self.at == length_of(self.seed, self.episode) - 1:
            raise RuntimeError("just before the end")
        return super().step(action)


def test_steps_that_lead_to_no_end_of_an_episode_are_no_progress() -> None:
    def make() -> VectorEnv:
        return SyncVectorEnv([partial(NeverEnds, Fate(), MODES[0])] * 2)

    with pytest.raises(EnvError, match="just before the end"):
        Collector(make, ORIGIN, max_env_failures=5).collect(RightActions(), num_steps=1000)


def test_failures_between_finished_episodes_are_not_in_a_row() -> None:
    fate = Fate(step=range(30, 600, 30))
    rollout = collector(fate, 2, AutoresetMode.DISABLED, limit=1).collect(RightActions(), num_steps=400)
    assert rollout.env_failures > 5


def test_an_environment_that_does_not_even_close_is_replaced() -> None:
    fate = Fate(step=[9], close=[0])
    rollout = collector(fate, 2, AutoresetMode.DISABLED).collect(RightActions(), num_steps=20)
    assert rollout.batch.num_steps == 20
    assert fate.calls["close"] == 1
    fate.envs[0].close()


def test_a_rebuilt_environment_begins_episodes_of_other_ids() -> None:
    fate = Fate()
    collecting = collector(fate, 2, AutoresetMode.DISABLED)
    before: Any = collecting.collect(RightActions(), num_steps=9).batch.trajectory_columns
    collecting.rebuild()
    after: Any = collecting.collect(RightActions(), num_steps=9).batch.trajectory_columns
    assert fate.envs[0].closed
    assert not fate.envs[1].closed
    assert (after["sequence"] == 1).all()
    ids = [set(map(tuple, columns["episode_id"].tolist())) for columns in (before, after)]
    assert not ids[0] & ids[1]
