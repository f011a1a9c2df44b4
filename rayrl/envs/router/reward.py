"""The reward of a decision, measured when the next request arrives.

With the throughput X (completions per second) and its target X*, the mean latency L of completed requests and
its threshold L*, the queue lengths n (requests of a replica that are not finished) and their coefficient of
variation CV, the hybrid reward takes

    absolute = X / max(X*, 0.1) - latency_weight * L / max(L*, 0.5)
    delta    = throughput_gain * (X - ema X) / ema X - latency_gain * (L - ema L) / ema L
    logistic = logistic_weight / (1 + exp(-(L - L*) / logistic_width_s))
    raw      = absolute_weight * absolute + delta_weight * delta - logistic
               - load_balance_penalty * CV exp(CV) - spread_penalty * std(n)

and the others, with x and l for X / X* and L / L* (instant) or their change since the last decision (delta),

    raw      = throughput_weight * x - latency_weight * l
               - utilization_penalty * (max - min share of KV blocks in use)
               - load_balance_penalty * CV exp(CV)
               - threshold_penalty * (1 - exp(-max(0, L / L* - 1))).

The reward is raw / scale, clipped to ± clip.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.router.config import Reward
from rayrl.envs.router.telemetry import Telemetry


class Hybrid(NamedTuple):
    """``config.HybridReward`` as plain numbers."""

    absolute_weight: float
    delta_weight: float
    latency_weight: float
    throughput_gain: float
    latency_gain: float
    logistic_weight: float
    logistic_width_s: float
    load_balance_penalty: float
    spread_penalty: float
    scale: float
    clip: float


class Metric(NamedTuple):
    """``config.MetricReward`` as plain numbers."""

    throughput_weight: float
    latency_weight: float
    utilization_penalty: float
    load_balance_penalty: float
    threshold_penalty: float
    scale: float
    clip: float


class RewardFormula(NamedTuple):
    """The formula that a configuration asks for."""

    hybrid_mode: bool
    delta_mode: bool
    throughput_target: float
    latency_threshold_s: float
    ema_alpha: float
    kv_blocks: int
    hybrid: Hybrid
    metric: Metric

    @classmethod
    def of(cls, reward: Reward, *, offered_rate: float, kv_blocks: int) -> Self:
        """The formula of ``reward``, whose throughput target defaults to the offered rate."""
        return cls(
            hybrid_mode=reward.mode == "hybrid",
            delta_mode=reward.mode == "delta",
            throughput_target=reward.throughput_target or offered_rate,
            latency_threshold_s=reward.latency_threshold_s,
            ema_alpha=reward.ema_alpha,
            kv_blocks=kv_blocks,
            hybrid=Hybrid(**reward.hybrid.model_dump()),
            metric=Metric(**reward.metric.model_dump()),
        )


class RewardMemory(NamedTuple):
    """Moving averages that the hybrid reward compares with, (B,); 0 until the first completion."""

    throughput_ema: NDArray[np.float64]
    latency_ema: NDArray[np.float64]

    @classmethod
    def empty(cls, num_envs: int) -> Self:
        """Averages of ``num_envs`` episodes that have not begun."""
        return cls(np.zeros(num_envs), np.zeros(num_envs))

    def begin(self, b: int) -> None:
        """Forgets the averages of episode ``b``."""
        for array in self:
            array[b] = 0.0


@njit(cache=True)
def reward(
    telemetry: Telemetry,
    memory: RewardMemory,
    formula: RewardFormula,
    over: NDArray[np.bool_],
    rewards: NDArray[np.float64],
) -> None:
    """Writes each episode's reward, (B,), after its telemetry was measured; 0 for those that were over."""
    for b in range(rewards.shape[0]):
        fleet = telemetry.fleet[b]
        if over[b]:
            rewards[b] = 0.0
        elif formula.hybrid_mode:
            alpha = formula.ema_alpha
            throughput_change = _relative_change(memory.throughput_ema, b, fleet.throughput, alpha)
            latency_change = _relative_change(memory.latency_ema, b, fleet.latency, alpha)
            rewards[b] = _hybrid(fleet, formula, throughput_change, latency_change)
        else:
            rewards[b] = _metric(fleet, formula, telemetry.load[b])


@njit
def _hybrid(fleet, formula, throughput_change, latency_change):  # type: ignore[no-untyped-def]
    weights = formula.hybrid
    relative_throughput = fleet.throughput / max(formula.throughput_target, 0.1)
    relative_latency = fleet.latency / max(formula.latency_threshold_s, 0.5)
    excess = (fleet.latency - formula.latency_threshold_s) / weights.logistic_width_s
    absolute = relative_throughput - weights.latency_weight * relative_latency
    delta = weights.throughput_gain * throughput_change - weights.latency_gain * latency_change
    raw = (
        weights.absolute_weight * absolute
        + weights.delta_weight * delta
        - weights.logistic_weight / (1.0 + math.exp(-excess))
        - weights.load_balance_penalty * _imbalance(fleet)
        - weights.spread_penalty * fleet.queue_std
    )
    return min(max(raw / weights.scale, -weights.clip), weights.clip)


@njit
def _metric(fleet, formula, load):  # type: ignore[no-untyped-def]
    weights = formula.metric
    throughput, latency = fleet.throughput, fleet.latency
    if formula.delta_mode:
        throughput, latency = fleet.throughput_change, fleet.latency_change
    most, least = load[0].allocated, load[0].allocated
    for r in range(1, load.shape[0]):
        most, least = max(most, load[r].allocated), min(least, load[r].allocated)
    excess = max(0.0, fleet.latency / formula.latency_threshold_s - 1.0)
    raw = (
        weights.throughput_weight * throughput / formula.throughput_target
        - weights.latency_weight * latency / formula.latency_threshold_s
        - weights.utilization_penalty * (most - least) / formula.kv_blocks
        - weights.load_balance_penalty * _imbalance(fleet)
        - weights.threshold_penalty * (1.0 - math.exp(-excess))
    )
    return min(max(raw / weights.scale, -weights.clip), weights.clip)


@njit
def _relative_change(averages, b, value, alpha):  # type: ignore[no-untyped-def]
    """(value - average) / average, 0 at the first value; then moves the average."""
    average = averages[b]
    if average == 0.0:
        averages[b] = value
        return 0.0
    averages[b] = average + alpha * (value - average)
    return (value - average) / average


@njit
def _imbalance(fleet):  # type: ignore[no-untyped-def]
    cv = fleet.queue_std / fleet.queue_mean if fleet.queue_mean > 0 else 0.0
    return cv * math.exp(cv)
