import numpy as np
import pytest

from rayrl.envs.router.config import ServiceLevel
from rayrl.envs.router.metrics import episode_metrics
from rayrl.envs.router.simulator import Simulation
from rayrl.envs.router.telemetry import Telemetry
from tests.envs.router.fleet import small_config


def test_metrics_of_four_requests() -> None:
    config = small_config(4)
    simulation, telemetry = Simulation.empty(config, 1), Telemetry.empty(config, 1)
    simulation.requests["arrived"] = [0, 1, 2, 3, 99]
    simulation.requests["decode"] = [1, 5, 5, 5, 1]
    simulation.requests["first_token"] = [1, 2, 5, 4, np.nan]
    simulation.requests["finished"] = [1, 4, 6, 8, np.nan]
    simulation.episodes["preemptions"] = 3
    telemetry.fleet["samples"], telemetry.fleet["balance_sum"] = 5, 4
    # Time to first token: 1, 1, 3, 1. Seconds per further token: 0, 2/4, 1/4, 4/4. Latency: 1, 3, 4, 5.
    metrics = episode_metrics(simulation, telemetry, ServiceLevel(ttft_s=1.0, tpot_s=0.5), np.array([0]))
    assert {name: value.tolist() for name, value in metrics.items()} == {
        "throughput": [4 / 8],
        "goodput": [2 / 8],
        "latency_p50": [3.5],
        "latency_p90": pytest.approx([4 + 0.7 * (5 - 4)]),
        "latency_p99": pytest.approx([4 + 0.97 * (5 - 4)]),
        "ttft_p50": [1.0],
        "ttft_p90": pytest.approx([1 + 0.7 * (3 - 1)]),
        "ttft_p99": pytest.approx([1 + 0.97 * (3 - 1)]),
        "balance": [4 / 5],
        "preemptions": [3.0],
    }
