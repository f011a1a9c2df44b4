"""The standard traffic of ``rayrl/Router-v0``: six categories of load that serving systems meet."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any

from rayrl.envs.spec import EnvSpec

_CONVERSATION = {
    "prefill": {"mean": 1155.0, "cv": 0.96, "maximum": 8192},
    "decode": {"mean": 211.0, "cv": 0.77, "maximum": 1024},
}
_SYNTHETIC = {"trace": None, "qps": None, "speeds": None, "arrivals": "poisson", "target_load": 0.85}
_SPEEDS = (1.4, 1.2, 0.8, 0.6)
"""Replicas of two generations of hardware and of two clocks, say; mean 1."""


def router_standard(env: EnvSpec) -> Mapping[str, Mapping[str, Any]]:
    """Synthetic traffic for replicas and observation as the experiment has them.

        steady          Poisson arrivals at 85 % of what the replicas can serve, conversations
        bursty          the same load in bursts: gaps with a coefficient of variation of 4
        prefill_heavy   long prompts, short answers, as in summarizing and retrieval
        decode_heavy    short prompts, long answers, as in writing and reasoning
        overload        20 % more than the replicas can serve
        heterogeneous   replicas of speeds 1.4, 1.2, 0.8, 0.6, and so on

    Lengths other than those of conversations have the same coefficients of variation.
    """
    conversations = _SYNTHETIC | _CONVERSATION
    replicas = int(env.config["replicas"])
    return {
        "steady": conversations,
        "bursty": conversations | {"arrivals": "gamma", "burstiness": 4.0},
        "prefill_heavy": _SYNTHETIC | _lengths(prefill=3000.0, decode=80.0),
        "decode_heavy": _SYNTHETIC | _lengths(prefill=300.0, decode=500.0),
        "overload": conversations | {"target_load": 1.2},
        "heterogeneous": conversations | {"speeds": tuple(islice(cycle(_SPEEDS), replicas))},
    }


def _lengths(*, prefill: float, decode: float) -> dict[str, Any]:
    return {
        "prefill": _CONVERSATION["prefill"] | {"mean": prefill},
        "decode": _CONVERSATION["decode"] | {"mean": decode},
    }
