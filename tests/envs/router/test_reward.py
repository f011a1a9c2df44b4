import math
from typing import Any

import numpy as np
import pytest

from rayrl.envs.router.config import Reward
from rayrl.envs.router.reward import RewardFormula, RewardMemory, reward
from rayrl.envs.router.telemetry import Telemetry
from tests.envs.router.fleet import small_config

MEASURED = {"throughput": 3.0, "latency": 9.0, "queue_mean": 4.0, "queue_std": 2.0}
IMBALANCE = 0.5 * math.exp(0.5)  # CV = 2 / 4


def one_reward(
    options: dict[str, Any],
    memory: RewardMemory | None = None,
    allocated: tuple[int, int] = (0, 0),
    **measured: float,
) -> float:
    telemetry = Telemetry.empty(small_config(1, replicas=2), num_envs=1)
    for name, value in (MEASURED | measured).items():
        telemetry.fleet[name] = value
    telemetry.load["allocated"] = allocated
    formula = RewardFormula.of(Reward.parse(options, where="test"), offered_rate=2.0, kv_blocks=100)
    rewards = np.full(1, np.nan)
    reward(telemetry, memory or RewardMemory.empty(1), formula, np.array([False]), rewards)
    return float(rewards[0])


def test_hybrid_without_a_past_has_no_delta_term() -> None:
    absolute = 3.0 / 2.0 - 0.1 * 9.0 / 6.0
    logistic = 0.05 / (1 + math.exp(-(9.0 - 6.0) / 2.0))
    raw = 0.8 * absolute - logistic - 1.0 * IMBALANCE - 1.0 * 2.0
    assert one_reward({"mode": "hybrid"}) == pytest.approx(raw / 1.5)


def test_hybrid_compares_with_its_moving_averages_and_then_moves_them() -> None:
    memory = RewardMemory(np.array([2.0]), np.array([10.0]))
    change = one_reward({"mode": "hybrid"}, memory) - one_reward({"mode": "hybrid"})
    delta = 0.3 * (3.0 - 2.0) / 2.0 - 0.2 * (9.0 - 10.0) / 10.0
    assert change == pytest.approx(0.2 * delta / 1.5)
    assert memory.throughput_ema.tolist() == pytest.approx([2.0 + 0.1 * (3.0 - 2.0)])
    assert memory.latency_ema.tolist() == pytest.approx([10.0 + 0.1 * (9.0 - 10.0)])


def test_the_first_completion_starts_the_moving_averages() -> None:
    memory = RewardMemory.empty(1)
    one_reward({"mode": "hybrid"}, memory, throughput=0.0, latency=0.0)
    assert memory.throughput_ema.tolist() == [0.0]
    one_reward({"mode": "hybrid"}, memory)
    assert memory.throughput_ema.tolist() == [3.0]


def test_instant_rewards_values_and_delta_their_changes() -> None:
    common = -0.5 * (60 - 20) / 100 - 0.5 * IMBALANCE - 0.5 * (1 - math.exp(-(9.0 / 6.0 - 1)))
    instant = one_reward({"mode": "instant"}, allocated=(60, 20))
    assert instant == pytest.approx((1.0 * 3.0 / 2.0 - 0.5 * 9.0 / 6.0 + common) / 2)
    changes = {"throughput_change": 0.4, "latency_change": -1.2}
    delta = one_reward({"mode": "delta"}, allocated=(60, 20), **changes)
    assert delta == pytest.approx((1.0 * 0.4 / 2.0 - 0.5 * -1.2 / 6.0 + common) / 2)


def test_weights_and_targets_are_fields() -> None:
    quiet = dict.fromkeys(("delta_weight", "logistic_weight", "load_balance_penalty"), 0.0)
    hybrid = {**quiet, "absolute_weight": 1.0, "spread_penalty": 0.25, "scale": 2.0}
    options = {"mode": "hybrid", "throughput_target": 6.0, "latency_threshold_s": 3.0, "hybrid": hybrid}
    assert one_reward(options) == pytest.approx((3.0 / 6.0 - 0.1 * 9.0 / 3.0 - 0.25 * 2.0) / 2.0)


@pytest.mark.parametrize(("mode", "clip"), [("hybrid", 4.0), ("instant", 3.0), ("delta", 3.0)])
def test_rewards_are_clipped(mode: str, clip: float) -> None:
    assert one_reward({"mode": mode}, queue_std=400.0) == -clip


def test_an_episode_that_was_over_earns_nothing() -> None:
    telemetry = Telemetry.empty(small_config(1), num_envs=1)
    telemetry.fleet["throughput"] = 5.0
    memory = RewardMemory.empty(1)
    rewards = np.full(1, np.nan)
    formula = RewardFormula.of(Reward(), offered_rate=2.0, kv_blocks=100)
    reward(telemetry, memory, formula, np.array([True]), rewards)
    assert rewards.tolist() == [0.0]
    assert memory.throughput_ema.tolist() == [0.0]
