"""Routing rules that teach: round robin, least outstanding requests, and an oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.router.env import RouterVectorEnv
from rayrl.envs.router.episodes import RouterEpisodes
from rayrl.envs.router.simulator import Serving, Simulation
from rayrl.errors import EnvError


class _Stateless:
    """A rule that needs nothing but the environment's state; ``seed`` is there for the protocol."""

    def __init__(self, *, seed: int) -> None:
        del seed

    def get_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


class RoundRobin(_Stateless):
    """Request i goes to replica i mod R."""

    def act(self, env: VectorEnv[Any, Any, Any], observations: Any) -> NDArray[np.int64]:
        """Replicas, (num_envs,)."""
        episodes = _episodes(env)
        replicas: NDArray[np.int64] = episodes.simulation.episodes["decision"] % episodes.config.replicas
        return replicas


class LeastOutstanding(_Stateless):
    """The replica with the fewest unfinished requests (LOR, join the shortest queue), the first of equals."""

    def act(self, env: VectorEnv[Any, Any, Any], observations: Any) -> NDArray[np.int64]:
        """Replicas, (num_envs,)."""
        replicas: NDArray[np.int64] = _episodes(env).simulation.queue_lengths.argmin(axis=1)
        return replicas


class JoinShortestWork(_Stateless):
    """The replica with the least work, its own included, while the new request runs: an oracle of lengths.

    Requests of a batch run side by side, so of an unfinished one only those tokens count that it has left
    within as many iterations as the new one needs. A token's work is what it adds to iterations of a full
    batch: its own cost by the cost model, and its share of what an iteration costs anyway.
    """

    def act(self, env: VectorEnv[Any, Any, Any], observations: Any) -> NDArray[np.int64]:
        """Replicas, (num_envs,)."""
        episodes = _episodes(env)
        cost = episodes.config.cost
        share_s = (cost.overhead_s + cost.weights_s) / episodes.workload.saturation.sequences
        seconds = np.empty((episodes.num_envs, episodes.config.replicas))
        _shared_work(episodes.simulation, episodes.serving, share_s, seconds)
        replicas: NDArray[np.int64] = seconds.argmin(axis=1)
        return replicas


def _episodes(env: VectorEnv[Any, Any, Any]) -> RouterEpisodes:
    if not isinstance(env, RouterVectorEnv):
        raise EnvError(f"the router's demonstrators act on RouterVectorEnv, not on {type(env).__name__}")
    return env.episodes


@njit(cache=True)
def _shared_work(
    simulation: Simulation, serving: Serving, share_s: float, seconds: NDArray[np.float64]
) -> None:
    """Writes the seconds of work, (B, R), that each replica has while the arriving request runs there."""
    for b in range(seconds.shape[0]):
        requests = simulation.requests[b]
        arriving = requests[simulation.episodes[b].decision]
        for r in range(seconds.shape[1]):
            replica = simulation.replicas[b, r]
            work = _work(arriving, arriving.decode, serving, share_s)
            for slot in range(replica.running):
                work += _work(requests[simulation.running[b, r, slot]], arriving.decode, serving, share_s)
            q = replica.head
            for _ in range(replica.waiting):
                work += _work(requests[q], arriving.decode, serving, share_s)
                q = requests[q].behind
            seconds[b, r] = work / serving.speeds[r]


@njit
def _work(request, iterations, serving, share_s):  # type: ignore[no-untyped-def]
    """Seconds of the request's tokens within the next ``iterations`` of its decoding."""
    known = request.prefill + request.emitted
    generated = min(request.decode - request.emitted, iterations)
    # The iteration that completes a prefill generates a token, too.
    tokens = known - request.computed + generated - 1
    context = generated * (known + generated / 2)
    return serving.token_s * tokens + serving.kv_token_s * context + share_s * generated
