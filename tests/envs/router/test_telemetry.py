import math

import numpy as np
import pytest

from rayrl.envs.router.simulator import EPISODE, REPLICA, REQUEST, Serving, Simulation
from rayrl.envs.router.telemetry import Telemetry, measure
from tests.envs.router.fleet import small_config


def simulation_at(arrivals: list[float], queues: list[tuple[int, int]]) -> Simulation:
    """An episode at its first arrival, with (waiting, running) requests on each replica."""
    simulation = Simulation(
        requests=np.zeros((1, len(arrivals)), REQUEST),
        replicas=np.zeros((1, len(queues)), REPLICA),
        running=np.zeros((1, len(queues), 4), np.int64),
        episodes=np.zeros(1, EPISODE),
    )
    simulation.requests["arrived"] = arrivals
    simulation.replicas["waiting"], simulation.replicas["running"] = zip(*queues, strict=True)
    return simulation


def test_queue_lengths_count_all_unfinished_requests() -> None:
    config = small_config(1, replicas=2)
    telemetry = Telemetry.empty(config, num_envs=1)
    measure(simulation_at([0.0], [(1, 2), (0, 5)]), Serving.of(config), telemetry)
    assert telemetry.queue[0, :, 0].tolist() == [3, 5]
    assert telemetry.fleet["queue_mean"][0] == 4
    assert telemetry.fleet["queue_std"][0] == 1
    assert telemetry.fleet["balance"][0] == pytest.approx(1 / (1 + 1 / 4))


def test_averages_start_at_the_first_value_and_move_by_their_weight() -> None:
    config = small_config(3)
    telemetry = Telemetry.empty(config, num_envs=1)
    simulation = simulation_at([0.0, 0.5, 2.0], [(0, 4)])
    measure(simulation, Serving.of(config), telemetry)
    simulation.episodes["decision"] = 1
    simulation.replicas["running"] = 6
    simulation.replicas["allocated"] = 30
    measure(simulation, Serving.of(config), telemetry)
    assert telemetry.load["ema"][0, 0] == pytest.approx(4 + 0.3 * (6 - 4))
    assert telemetry.load["allocated_change"][0, 0] == 30
    # 1 and then 2 requests within the last second.
    assert telemetry.qps[0, :2].tolist() == [1, 2]
    assert telemetry.fleet["qps_ema"][0] == pytest.approx(1 + 0.1 * (2 - 1))


def test_the_arrival_rate_counts_the_last_second() -> None:
    config = small_config(4)
    telemetry = Telemetry.empty(config, num_envs=1)
    simulation = simulation_at([0.0, 0.5, 1.0, 1.6], [(0, 0)])
    for decision in range(4):
        simulation.episodes["decision"] = decision
        measure(simulation, Serving.of(config), telemetry)
    # At 1.0 the request of 0.0 is a second old and counts no more; at 1.6 so is that of 0.5.
    assert telemetry.qps[0, :4].tolist() == [1, 2, 2, 2]


def test_throughput_and_latency_weigh_completions_by_their_age() -> None:
    # Two completions, at ages 1 and 3 s, of latencies 4 and 8 s, seen at t = 10 with a window of 2 s.
    config = small_config(1, metrics_window_s=2.0)
    telemetry = Telemetry.empty(config, num_envs=1)
    simulation = simulation_at([10.0], [(0, 0)])
    new, old = math.exp(-1 / 2), math.exp(-3 / 2)
    simulation.episodes["completions"] = new + old
    simulation.episodes["latency"] = 4 * new + 8 * old
    measure(simulation, Serving.of(config), telemetry)
    assert telemetry.fleet["throughput"][0] == pytest.approx((new + old) / (2 * (1 - math.exp(-5))))
    assert telemetry.fleet["latency"][0] == pytest.approx((4 * new + 8 * old) / (new + old))
    assert telemetry.fleet["throughput_change"][0] == telemetry.fleet["throughput"][0]


def test_nothing_is_infinite_at_the_very_start() -> None:
    config = small_config(1, replicas=2)
    telemetry = Telemetry.empty(config, num_envs=1)
    measure(simulation_at([0.0], [(0, 0), (0, 0)]), Serving.of(config), telemetry)
    assert telemetry.fleet["throughput"][0] == 0
    assert telemetry.fleet["latency"][0] == 0
    assert telemetry.fleet["balance"][0] == 1
