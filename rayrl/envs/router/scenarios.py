"""Imbalance scenarios of ``rayrl/Router-v0``: what a router has to recover from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.workload import Workload
from rayrl.envs.scenarios import Changes, ScenarioSet

_SLOW = 0.4
"""Speed of a slowed replica, as a share of its own."""
_LOST = 1e-3
"""Speed of a lost one: an iteration takes some ten seconds, so that nothing comes back from it in time."""
_BURSTINESS = 4.0


def scenarios(config: Mapping[str, Any]) -> ScenarioSet:
    """Scenarios around the load and the replicas that training has.

        half_load       half the requests per second
        double_load     twice the requests per second
        slow_replica    one replica at 0.4 of its speed, each in turn, under the same requests
        lost_replica    one replica that serves nothing, each in turn, under the same requests
        bursts          the same load in bursts: gaps with a coefficient of variation of 4 (not of a trace)

    Observation and reward count in the requests per second of the training in all of them; else twice the
    load would look like the load that training has.

    Args:
        config: the router's options in training.
    """
    router = RouterConfig.parse(config, where="rayrl/Router-v0")
    rate = Workload(router).rate
    speeds = router.replica_speeds
    named: dict[str, list[Changes]] = {
        "half_load": [_at(0.5 * rate)],
        "double_load": [_at(2.0 * rate)],
        "slow_replica": [{**_at(rate), "speeds": each} for each in _with_one_at(_SLOW, speeds)],
    }
    if router.replicas > 1:
        named["lost_replica"] = [{**_at(rate), "speeds": each} for each in _with_one_at(_LOST, speeds)]
    if router.trace is None:
        named["bursts"] = [{**_at(rate), "arrivals": "gamma", "burstiness": _BURSTINESS}]
    return ScenarioSet({"reference_qps": router.reference_qps or rate}, named)


def _at(rate: float) -> dict[str, Any]:
    """The load in absolute terms: a share of the capacity would shrink with the replicas."""
    return {"qps": rate, "target_load": None}


def _with_one_at(share: float, speeds: tuple[float, ...]) -> Iterator[list[float]]:
    for slowed in range(len(speeds)):
        yield [speed * share if i == slowed else speed for i, speed in enumerate(speeds)]
