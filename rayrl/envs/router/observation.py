"""What a policy sees when a request arrives: a flat float32 vector.

    replica 0: base, enhanced, pending 0 … K - 1 │ replica 1: … │ global, enhanced global

The tables below give the numbers in order, each with the unit that it is divided by before it is clipped to
± ``LIMIT``; docs/router.md says what each means. Nothing here reads how many tokens an unfinished request
will generate. The enhanced numbers are left out when ``enhanced`` is off.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.simulator import Simulation
from rayrl.envs.router.telemetry import Telemetry

LIMIT = 10.0

BASE = {
    "queue_len": 16.0,
    "allocated_blocks": 4096.0,
    "total_blocks": 4096.0,
    "util_frac": 1.0,
    "avail_frac": 1.0,
    "running_batches": 1.0,
    "preempted": 4.0,
    "allocation_map_size": 16.0,
    "batch_cap": 64.0,
    "block_size": 16.0,
    "num_stages": 1.0,
}
ENHANCED = {
    "queue_delta": 4.0,
    "alloc_delta": 64.0,
    "load_ema": 16.0,
    "queue_trend": 1.0,
    "queue_variance": 4.0,
    "historical_peak": 16.0,
    "historical_low": 16.0,
    "time_since_peak": 1.0,
}
PENDING = {
    "age": 1.0,
    "num_prefill": 1024.0,
    "num_processed": 1024.0,
    "remaining_prefill": 1024.0,
    "completed": 1.0,
    "num_decode": 256.0,
    "priority": 1.0,
}
PENDING_SIZE = len(PENDING)
GLOBAL = {"queue_tokens": 1024.0, "throughput": 1.0, "latency": 10.0}
GLOBAL_ENHANCED = {
    "qps": 1.0,
    "qps_ema": 1.0,
    "qps_trend": 0.1,
    "qps_variance": 0.1,
    "load_balance": 1.0,
    "queue_delta": 4.0,
    "completion_rate": 1.0,
}


class Layout(NamedTuple):
    """What the observation holds, and the constants that it mentions."""

    units: NDArray[np.float64]
    """(D,): what each number is divided by."""
    pending_requests: int
    enhanced: bool
    offered_rate: float
    total_blocks: int
    block_size: int
    batch_cap: int

    @classmethod
    def of(cls, config: RouterConfig, *, offered_rate: float) -> Self:
        """The layout of a configuration; throughput and arrival rates count in the offered rate."""
        return cls(
            units=np.array([unit for _, unit in _entries(config)]),
            pending_requests=config.pending_requests,
            enhanced=config.enhanced,
            offered_rate=offered_rate,
            total_blocks=config.kv_cache.blocks,
            block_size=config.kv_cache.block_size,
            batch_cap=config.batching.max_sequences,
        )


def observation_names(config: RouterConfig) -> list[str]:
    """The name of every number of the observation, such as ``replica_0/pending_1/age``, in order."""
    return [name for name, _ in _entries(config)]


def _entries(config: RouterConfig) -> list[tuple[str, float]]:
    replica = list((BASE | ENHANCED if config.enhanced else BASE).items())
    for k in range(config.pending_requests):
        replica += [(f"pending_{k}/{name}", unit) for name, unit in PENDING.items()]
    entries = [(f"replica_{r}/{name}", unit) for r in range(config.replicas) for name, unit in replica]
    overall = GLOBAL | GLOBAL_ENHANCED if config.enhanced else GLOBAL
    return entries + [(f"global/{name}", unit) for name, unit in overall.items()]


@njit(cache=True)
def observe(
    simulation: Simulation, telemetry: Telemetry, layout: Layout, observations: NDArray[np.float32]
) -> None:
    """Writes every episode's observation, (B, D), after its telemetry was measured."""
    numbers = np.empty(layout.units.shape[0])
    for b in range(observations.shape[0]):
        requests, fleet = simulation.requests[b], telemetry.fleet[b]
        arriving = requests[simulation.episodes[b].decision]
        i = 0
        for r in range(simulation.replicas.shape[1]):
            replica = simulation.replicas[b, r]
            i = _write_base(replica, layout, numbers, i)
            if layout.enhanced:
                load, queue = telemetry.load[b, r], telemetry.queue[b, r]
                i = _write_enhanced(load, queue, telemetry.times[b], fleet.samples, numbers, i)
            end = i + layout.pending_requests * PENDING_SIZE
            i = _write_prefilling(requests, replica, simulation.running[b, r], arriving, numbers, i, end)
            i = _write_waiting(requests, replica, arriving, numbers, i, end)
            while i < end:
                numbers[i] = 0.0
                i += 1
        numbers[i] = arriving.prefill
        numbers[i + 1] = fleet.throughput / layout.offered_rate
        numbers[i + 2] = fleet.latency
        if layout.enhanced:
            _write_history(fleet, telemetry.queue[b], telemetry.qps[b], layout.offered_rate, numbers, i + 3)
        for j in range(numbers.shape[0]):
            observations[b, j] = min(max(numbers[j] / layout.units[j], -LIMIT), LIMIT)


@njit
def _write_base(replica, layout, numbers, i):  # type: ignore[no-untyped-def]
    utilization = replica.allocated / layout.total_blocks
    numbers[i] = replica.waiting + replica.running
    numbers[i + 1] = replica.allocated
    numbers[i + 2] = layout.total_blocks
    numbers[i + 3] = utilization
    numbers[i + 4] = 1.0 - utilization
    numbers[i + 5] = 1.0 if replica.running > 0 else 0.0
    numbers[i + 6] = replica.preempted
    numbers[i + 7] = replica.running
    numbers[i + 8] = layout.batch_cap
    numbers[i + 9] = layout.block_size
    numbers[i + 10] = 1.0
    return i + 11


@njit
def _write_enhanced(load, queue, times, samples, numbers, i):  # type: ignore[no-untyped-def]
    window = queue.shape[0]
    newest = (samples - 1) % window
    slope, variance = _trend(queue, samples)
    peak, low, peak_slot = queue[newest], queue[newest], newest
    for age in range(1, min(samples, window)):
        slot = (samples - 1 - age) % window
        low = min(low, queue[slot])
        if queue[slot] > peak:
            peak, peak_slot = queue[slot], slot
    numbers[i] = queue[newest] - queue[(samples - 2) % window] if samples > 1 else 0.0
    numbers[i + 1] = load.allocated_change
    numbers[i + 2] = load.ema
    numbers[i + 3] = slope
    numbers[i + 4] = variance
    numbers[i + 5] = peak
    numbers[i + 6] = low
    numbers[i + 7] = times[newest] - times[peak_slot]
    return i + 8


@njit
def _write_prefilling(requests, replica, running, arriving, numbers, i, end):  # type: ignore[no-untyped-def]
    for slot in range(replica.running):
        request = requests[running[slot]]
        decoding = request.emitted > 0 and request.prefill + request.emitted - request.computed == 1
        if i < end and not decoding:
            i = _write_pending(request, arriving.arrived, numbers, i)
    return i


@njit
def _write_waiting(requests, replica, arriving, numbers, i, end):  # type: ignore[no-untyped-def]
    q = replica.head
    for _ in range(replica.waiting):
        if i == end:
            break
        i = _write_pending(requests[q], arriving.arrived, numbers, i)
        q = requests[q].behind
    return i


@njit
def _write_pending(request, now, numbers, i):  # type: ignore[no-untyped-def]
    known = request.prefill + request.emitted
    numbers[i] = now - request.arrived
    numbers[i + 1] = request.prefill
    numbers[i + 2] = request.computed
    numbers[i + 3] = known - request.computed
    numbers[i + 4] = request.computed / known
    numbers[i + 5] = request.emitted
    numbers[i + 6] = request.preempted
    return i + PENDING_SIZE


@njit
def _write_history(fleet, queue, qps, offered_rate, numbers, i):  # type: ignore[no-untyped-def]
    window = qps.shape[0]
    newest, before = (fleet.samples - 1) % window, (fleet.samples - 2) % window
    slope, variance = _trend(qps, fleet.samples)
    change = 0.0
    if fleet.samples > 1:
        for r in range(queue.shape[0]):
            change += queue[r, newest] - queue[r, before]
    numbers[i] = qps[newest] / offered_rate
    numbers[i + 1] = fleet.qps_ema / offered_rate
    numbers[i + 2] = slope / offered_rate
    numbers[i + 3] = variance / offered_rate**2
    numbers[i + 4] = fleet.balance
    numbers[i + 5] = change
    numbers[i + 6] = min(fleet.throughput / qps[newest], 2.0)


@njit
def _trend(ring, samples):  # type: ignore[no-untyped-def]
    """Least-squares slope per sample, and variance, of the samples that a ring holds."""
    window = ring.shape[0]
    known = min(samples, window)
    mean = 0.0
    for age in range(known):
        mean += ring[(samples - 1 - age) % window]
    mean /= known
    centre = (known - 1) / 2
    covariance = 0.0
    squares = 0.0
    variance = 0.0
    for age in range(known):
        deviation = ring[(samples - 1 - age) % window] - mean
        covariance += (centre - age) * deviation
        squares += (centre - age) ** 2
        variance += deviation * deviation
    slope = covariance / squares if known > 1 else 0.0
    return slope, variance / known
