"""What is held once for each episode, and what an environment may declare so."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rayrl.errors import EnvError
from rayrl.experience.columns import ColumnSpec
from rayrl.rollout.behavior import RandomBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.origin import Origin
from rayrl.rollout.static_parts import EpisodeParts
from tests.rollout.counting_env import MODES, RightActions, check_batch, sync_env


class Level(gym.Env[Any, Any]):
    """Shows a level that stays, unless it is to change in the third step."""

    observation_space = Dict({"level": Box(0, 9, (2,)), "step": Discrete(9), "name": Text(9)})
    action_space = Discrete(2)

    def __init__(self, static: tuple[str, ...] = ("level",), changes: bool = False) -> None:
        self.static_observations, self._changes = static, changes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.level, self.at = self.np_random.uniform(0, 9, 2).astype(np.float32), 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.at += 1
        if self._changes and self.at == 3:
            self.level = self.level + 1
        return self._seen(), 0.0, self.at == 5, False, {}

    def _seen(self) -> Any:
        return {"level": self.level, "step": np.int64(self.at), "name": "a"}


def collector(mode: AutoresetMode = AutoresetMode.DISABLED, **config: Any) -> Collector:
    def make() -> SyncVectorEnv:
        return SyncVectorEnv([lambda: Level(**config)] * 2, copy=False, autoreset_mode=mode)

    return Collector(make, Origin("test", seed=0))


def test_a_batch_has_a_static_part_once_for_each_trajectory():
    batch = collector().collect(RandomBehavior(Discrete(2)), num_steps=16).batch
    assert batch.num_trajectories == 4
    assert batch.trajectory_columns["obs/level"].shape == (4, 2)
    assert "obs/level" not in batch.columns
    assert "final_obs/level" not in batch.trajectory_columns
    assert len(np.unique(batch.trajectory_columns["obs/level"], axis=0)) == 4

    whole = batch.with_static_parts_by_step()
    assert whole.columns["obs/level"].shape == (16, 2)
    np.testing.assert_array_equal(
        whole.columns["obs/level"], batch.trajectory_columns["obs/level"].repeat(batch.lengths, axis=0)
    )
    np.testing.assert_array_equal(
        whole.trajectory_columns["final_obs/level"], batch.trajectory_columns["obs/level"]
    )
    assert whole.with_static_parts_by_step() is whole


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_rows_that_are_left_for_the_next_batch_keep_their_episode(mode):
    make = lambda: sync_env(3, mode, kind="static")  # noqa: E731
    collecting = Collector(make, Origin("test", seed=3), max_env_failures=0)
    for num_steps in (1, 2, 1, 4, 2, 7, 1, 5):
        check_batch(collecting.collect(RightActions(), num_steps=num_steps).batch)


def test_a_part_that_changes_is_not_static():
    with pytest.raises(EnvError, match="changed 'level' within an episode, and declares it static"):
        collector(changes=True).collect(RandomBehavior(Discrete(2)), num_steps=8)


def test_a_declared_part_must_be_there_and_no_text():
    with pytest.raises(EnvError, match=r"'levle' is no part of the observation.*\n.*level"):
        collector(static=("levle",))
    with pytest.raises(EnvError, match="'name' is text"):
        collector(static=("name",))


def test_numbers_of_episodes_begin_anew_with_each_batch():
    parts = EpisodeParts({"x": ColumnSpec(np.dtype(np.int64))}, 2)
    parts.begin(np.array([True, True]), {"x": np.array([10, 20])})
    first = parts.number.copy()
    parts.begin(np.array([False, True]), {"x": np.array([0, 21])})
    assert parts.of(np.array([*first, *parts.number]))["x"].tolist() == [10, 20, 10, 21]
    parts.restart(first)
    assert parts.of(np.array([0, 1]))["x"].tolist() == [10, 20]
    assert parts.of(parts.number)["x"].tolist() == [10, 21]
    parts.check({"x": np.array([10, 21])}, where="env")
    with pytest.raises(EnvError, match="changed 'x'"):
        parts.check({"x": np.array([10, 22])}, where="env")
