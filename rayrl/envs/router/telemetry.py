"""What the router measures when a request arrives: load, rates, and a short history of both.

It sees requests come and go, so nothing here depends on how many tokens an unfinished request will generate.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.simulator import Serving, Simulation

LOAD_EMA_ALPHA = 0.3
QPS_EMA_ALPHA = 0.1
QPS_SPAN_S = 1.0
"""The arrival rate counts the requests of the last second."""

FLEET = np.dtype(
    [
        ("samples", np.int64),  # arrivals measured in this episode
        ("recent", np.int64),  # the first request that came within the last second
        ("qps_ema", np.float64),
        ("throughput", np.float64),  # completions per second
        ("throughput_change", np.float64),  # since the arrival before
        ("latency", np.float64),  # mean over completed requests, seconds; 0 before the first
        ("latency_change", np.float64),
        ("queue_mean", np.float64),  # of the queue lengths, over the replicas
        ("queue_std", np.float64),
        ("balance", np.float64),  # 1 / (1 + CV of the queue lengths)
        ("balance_sum", np.float64),  # over the episode's arrivals
    ]
)
LOAD = np.dtype(
    [
        ("ema", np.float64),  # of the queue length
        ("allocated", np.int64),  # KV blocks in use
        ("allocated_change", np.int64),  # since the arrival before
    ]
)


class Telemetry(NamedTuple):
    """Measurements at the arrivals of B episodes; rings of W values have the newest at (samples - 1) % W."""

    fleet: NDArray[np.void]
    """(B,) of ``FLEET``."""
    load: NDArray[np.void]
    """(B, R) of ``LOAD``."""
    queue: NDArray[np.float64]
    """(B, R, W): requests of each replica that are not finished."""
    times: NDArray[np.float64]
    """(B, W): seconds."""
    qps: NDArray[np.float64]
    """(B, W): requests in the last second."""

    @classmethod
    def empty(cls, config: RouterConfig, num_envs: int) -> Self:
        """Measurements of ``num_envs`` episodes that have not begun."""
        window, replicas = config.history_window, config.replicas
        return cls(
            fleet=np.zeros(num_envs, FLEET),
            load=np.zeros((num_envs, replicas), LOAD),
            queue=np.zeros((num_envs, replicas, window)),
            times=np.zeros((num_envs, window)),
            qps=np.zeros((num_envs, window)),
        )

    def begin(self, b: int) -> None:
        """Forgets what was measured in episode ``b``."""
        for array in self:
            array[b] = 0


@njit(cache=True)
def measure(simulation: Simulation, serving: Serving, telemetry: Telemetry) -> None:
    """Measures every episode at the arrival of the request that awaits routing."""
    for b in range(telemetry.fleet.shape[0]):
        fleet = telemetry.fleet[b]
        slot = fleet.samples % telemetry.times.shape[1]
        decision = simulation.episodes[b].decision
        now = simulation.requests[b, decision].arrived
        telemetry.times[b, slot] = now
        _measure_load(simulation.replicas[b], telemetry.load[b], telemetry.queue[b], fleet, slot)
        telemetry.qps[b, slot] = _measure_arrivals(simulation.requests[b], fleet, decision, now)
        _measure_service(simulation.episodes[b], serving, fleet, now)
        fleet.samples += 1


@njit
def _measure_load(replicas, load, queue, fleet, slot):  # type: ignore[no-untyped-def]
    count = replicas.shape[0]
    total = 0.0
    squares = 0.0
    for r in range(count):
        length = replicas[r].waiting + replicas[r].running
        queue[r, slot] = length
        load[r].ema = length if fleet.samples == 0 else _moved(load[r].ema, length, LOAD_EMA_ALPHA)
        load[r].allocated_change = replicas[r].allocated - load[r].allocated
        load[r].allocated = replicas[r].allocated
        total += length
        squares += length * length
    mean = total / count
    fleet.queue_mean = mean
    fleet.queue_std = math.sqrt(max(0.0, squares / count - mean * mean))
    fleet.balance = 1.0 / (1.0 + fleet.queue_std / mean) if mean > 0 else 1.0
    fleet.balance_sum += fleet.balance


@njit
def _measure_arrivals(requests, fleet, decision, now):  # type: ignore[no-untyped-def]
    while requests[fleet.recent].arrived <= now - QPS_SPAN_S:
        fleet.recent += 1
    qps = (decision - fleet.recent + 1) / QPS_SPAN_S
    fleet.qps_ema = qps if fleet.samples == 0 else _moved(fleet.qps_ema, qps, QPS_EMA_ALPHA)
    return qps


@njit
def _measure_service(episode, serving, fleet, now):  # type: ignore[no-untyped-def]
    # Σ exp(-age / window) over completions, divided by ∫ exp(-age / window) over the time that has passed.
    span = serving.metrics_window_s * -math.expm1(-now / serving.metrics_window_s)
    throughput = episode.completions / span if span > 0 else 0.0
    latency = episode.latency / episode.completions if episode.completions > 0 else 0.0
    fleet.throughput_change = throughput - fleet.throughput
    fleet.latency_change = latency - fleet.latency
    fleet.throughput = throughput
    fleet.latency = latency


@njit
def _moved(average, value, alpha):  # type: ignore[no-untyped-def]
    return average + alpha * (value - average)
