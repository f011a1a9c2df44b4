"""Small fleets whose schedules can be worked out on paper."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.simulator import Serving, Simulation, drain, route

FAR = 1e6
"""A time when all is finished."""

TOKEN_PER_SECOND = {"overhead_s": 0.0, "weights_s": 0.0, "token_s": 1.0, "kv_token_s": 0.0}
"""An iteration takes as many seconds as it has tokens."""


def small_config(requests: int, **options: Any) -> RouterConfig:
    """One replica with blocks of 2 tokens and a second per token, unless ``options`` say otherwise."""
    defaults: dict[str, Any] = {
        "replicas": 1,
        "cost": TOKEN_PER_SECOND,
        "kv_cache": {"blocks": 1000, "block_size": 2, "watermark": 0.0},
        "batching": {"max_sequences": 4, "token_budget": 8},
        "requests": requests,
        "qps": 1.0,
        "prefill": {"mean": 2, "cv": 0, "maximum": 2},
        "decode": {"mean": 2, "cv": 0, "maximum": 2},
    }
    return RouterConfig.parse(defaults | options, where="test")


class Fleet:
    """One episode of given requests ``(arrived, prefill, decode)``, all sent to replica 0 unless told."""

    def __init__(self, requests: Sequence[tuple[float, int, int]], **options: Any) -> None:
        config = small_config(len(requests), **options)
        arrived, prefill, decode = zip(*requests, (FAR, 1, 1), strict=True)
        self.serving = Serving.of(config)
        self.simulation = Simulation.empty(config, num_envs=1)
        self.simulation.begin(0, np.array(arrived), np.array(prefill), np.array(decode))

    def route(self, *actions: int) -> "Fleet":
        for action in actions:
            route(self.simulation, self.serving, np.array([action]), np.array([False]))
        return self

    def run(self) -> "Fleet":
        """Routes all requests to replica 0 and serves them to their ends."""
        self.route(*[0] * (self.simulation.requests.shape[1] - 1))
        drain(self.simulation, self.serving, np.array([True]))
        return self

    def times(self, field: str) -> list[float]:
        """``first_token`` or ``finished`` of each routed request."""
        times: list[float] = self.simulation.requests[field][0, :-1].tolist()
        return times

    @property
    def replica(self) -> np.void:
        replica: np.void = self.simulation.replicas[0, 0]
        return replica
