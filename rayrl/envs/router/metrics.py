"""What an episode came to: the numbers in ``info`` at its end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayrl.envs.router.config import ServiceLevel
from rayrl.envs.router.simulator import Simulation
from rayrl.envs.router.telemetry import Telemetry

PERCENTILES = (50, 90, 99)


def episode_metrics(
    simulation: Simulation, telemetry: Telemetry, slo: ServiceLevel, slots: NDArray[np.intp]
) -> dict[str, NDArray[np.float64]]:
    """Service metrics of the drained episodes in ``slots``; every value is (len(slots),).

    All routed requests count, those that finished after the last arrival too, as serving benchmarks do.

        throughput            requests per second up to the last completion
        goodput               the same, of requests whose time to first token and time per output token meet
                              the service level
        latency_p50 … p99     arrival to last token, seconds
        ttft_p50 … p99        arrival to first token, seconds
        balance               mean over the arrivals of 1 / (1 + CV of the queue lengths)
        preemptions           how many times a request lost its cache
    """
    requests = simulation.requests[slots, :-1]
    arrived, first, finished = requests["arrived"], requests["first_token"], requests["finished"]
    latency, ttft = finished - arrived, first - arrived
    tpot = (finished - first) / np.maximum(requests["decode"] - 1, 1)
    seconds = finished.max(axis=1)
    good = (ttft <= slo.ttft_s) & (tpot <= slo.tpot_s)
    metrics = {
        "throughput": finished.shape[1] / seconds,
        "goodput": good.sum(axis=1) / seconds,
    }
    for name, values in (("latency", latency), ("ttft", ttft)):
        for percentile, value in zip(PERCENTILES, np.percentile(values, PERCENTILES, axis=1), strict=True):
            metrics[f"{name}_p{percentile}"] = value
    metrics["balance"] = telemetry.fleet["balance_sum"][slots] / telemetry.fleet["samples"][slots]
    metrics["preemptions"] = simulation.episodes["preemptions"][slots].astype(np.float64)
    return metrics
