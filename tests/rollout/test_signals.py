"""What environments tell of themselves while they are stepped."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from rayrl.rollout.signals import SignalMeter, mean_signals
from rayrl.rollout.vector_env import make_vector_env
from tests.rollout.stateful_env import RandomWalk

ROUTER = {"requests": 40}


class Loaded(RandomWalk):
    def signals(self) -> dict[str, float]:
        return {"load": self.at, "rest": 1.0}


def test_sums_over_sub_environments_and_steps() -> None:
    meter = SignalMeter(["load", "size"])
    env = SyncVectorEnv([RandomWalk] * 3)
    meter.read(env, {"load": np.array([1.0, 2.0, 3.0]), "other": np.ones(3)})
    meter.read(env, {"load": np.array([5, 0, 7]), "_load": np.array([True, False, True])})
    meter.read(env, {"load": np.array([np.nan, np.inf, 2.0])})
    assert meter.take() == {"load": (1 + 2 + 3 + 5 + 7 + 2, 6)}
    assert meter.take() == {}


def test_infos_may_be_one_mapping_for_each() -> None:
    meter = SignalMeter(["load"])
    meter.read(SyncVectorEnv([RandomWalk] * 3), [{"load": 2.0}, None, {"size": 3.0}])
    assert meter.take() == {"load": (2.0, 1)}


def test_a_method_of_the_environment_comes_before_infos() -> None:
    meter = SignalMeter(["load", "size"])
    env = SyncVectorEnv([Loaded] * 2)
    env.reset(seed=0)
    meter.read(env, {"load": np.array([9.0, 9.0]), "size": np.array([4.0, 5.0])})
    assert meter.take() == {"load": (sum(sub.at for sub in env.envs), 2), "size": (9.0, 2)}


def test_means_are_over_all_workers_values() -> None:
    parts: list[Any] = [{"load": (6.0, 3), "size": (1.0, 1)}, {}, {"load": (2.0, 1)}]
    assert mean_signals(parts) == {"load": 2.0, "size": 1.0}
    assert mean_signals([{}]) == {}


@pytest.mark.parametrize("mode", ["auto", "sync"])
def test_the_router_tells_its_load(mode: str) -> None:
    env = make_vector_env("rayrl/Router-v0", ROUTER, 2, mode=mode)
    env.reset(seed=0)
    meter = SignalMeter(["queue", "latency", "balance"])
    for _ in range(20):
        env.step(np.zeros(2, np.int64))  # all requests go to the first of four replicas
    meter.read(env, {})
    told = {name: total / count for name, (total, count) in meter.take().items()}
    # Queue lengths (q, 0, 0, 0) have the mean q / 4 and the standard deviation √3 q / 4: 1 / (1 + √3).
    assert told["balance"] == pytest.approx(1 / (1 + np.sqrt(3)))
    episodes = gymnasium.make("rayrl/Router-v0", **ROUTER).unwrapped.episodes
    assert 0 < told["queue"] <= 20 / 4 / episodes.workload.saturation.sequences
    assert told["latency"] >= 0
