"""The replicas: a discrete-event simulation of continuous batching with chunked prefill, in numba.

    router ──▶ waiting ──admit──▶ running ──▶ finished
                  ▲                  │
                  └─────preempt──────┘

A replica works in iterations. When one starts it is composed: running requests come first, in order of
admission, each with its next tokens (one when it decodes, a chunk of its prompt when it prefills) out of
the token budget; then waiting requests are admitted while sequences, budget and KV blocks last. A request
takes the blocks of its prompt when admitted, and one more whenever its next token needs it; with no block
left, the newest running request is preempted: it loses its cache, returns to the head of the queue and
later prefills prompt and generated tokens again. The scheduling is vLLM's; chunking prompts so that decoding
never stalls is Sarathi-Serve's (Agrawal et al., OSDI 2024).

Between two arrivals replicas do not touch each other, so each is advanced alone up to the next arrival.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.router.config import RouterConfig

NONE = -1
"""Stands for no request, and no episode."""
_END_OF_TIME = np.finfo(np.float64).max

REQUEST = np.dtype(
    [
        ("arrived", np.float64),
        ("prefill", np.int64),  # tokens of the prompt
        ("decode", np.int64),  # tokens to generate: known to the simulation and the oracle only
        ("computed", np.int64),  # tokens whose keys and values are in the cache
        ("emitted", np.int64),  # tokens generated so far
        ("scheduled", np.int64),  # tokens that the running iteration adds to ``computed``
        ("blocks", np.int64),  # KV blocks held
        ("preempted", np.int64),  # 1 while it waits again after a preemption
        ("replica", np.int64),
        ("behind", np.int64),  # the request behind it in the queue
        ("first_token", np.float64),  # time; NaN before
        ("finished", np.float64),  # time; NaN before
    ]
)
REPLICA = np.dtype(
    [
        ("head", np.int64),  # first waiting request
        ("tail", np.int64),  # last waiting request
        ("waiting", np.int64),  # waiting requests, preempted ones among them
        ("preempted", np.int64),  # waiting requests that were preempted
        ("running", np.int64),  # running requests
        ("allocated", np.int64),  # KV blocks in use
        ("iteration_end", np.float64),  # time; infinite while idle
    ]
)
EPISODE = np.dtype(
    [
        ("decision", np.int64),  # the request that awaits routing
        ("preemptions", np.int64),
        ("completions", np.float64),  # completed requests, each weighted by exp(-age / metrics_window_s)
        ("latency", np.float64),  # their latencies, weighted alike and summed
    ]
)


class Serving(NamedTuple):
    """Constants of the replicas; ``config.py`` explains them."""

    speeds: NDArray[np.float64]
    overhead_s: float
    weights_s: float
    token_s: float
    kv_token_s: float
    blocks: int
    block_size: int
    reserved_blocks: int
    max_sequences: int
    token_budget: int
    metrics_window_s: float

    @classmethod
    def of(cls, config: RouterConfig) -> Self:
        """The constants that a configuration states."""
        cost, cache = config.cost, config.kv_cache
        return cls(
            speeds=np.array(config.replica_speeds),
            overhead_s=cost.overhead_s,
            weights_s=cost.weights_s,
            token_s=cost.token_s,
            kv_token_s=cost.kv_token_s,
            blocks=cache.blocks,
            block_size=cache.block_size,
            reserved_blocks=math.ceil(cache.watermark * cache.blocks),
            max_sequences=config.batching.max_sequences,
            token_budget=config.batching.token_budget,
            metrics_window_s=config.metrics_window_s,
        )


class Simulation(NamedTuple):
    """State of B episodes of N decisions on R replicas; the functions below change it in place."""

    requests: NDArray[np.void]
    """(B, N + 1) of ``REQUEST``, in order of arrival; the last is never routed."""
    replicas: NDArray[np.void]
    """(B, R) of ``REPLICA``."""
    running: NDArray[np.int64]
    """(B, R, max_sequences): running requests in order of admission."""
    episodes: NDArray[np.void]
    """(B,) of ``EPISODE``."""

    @classmethod
    def empty(cls, config: RouterConfig, num_envs: int) -> Self:
        """Room for ``num_envs`` episodes; each must be begun before it is used."""
        replicas = (num_envs, config.replicas)
        return cls(
            requests=np.zeros((num_envs, config.requests + 1), REQUEST),
            replicas=np.zeros(replicas, REPLICA),
            running=np.zeros((*replicas, config.batching.max_sequences), np.int64),
            episodes=np.zeros(num_envs, EPISODE),
        )

    def begin(
        self, b: int, arrived: NDArray[np.float64], prefill: NDArray[np.int64], decode: NDArray[np.int64]
    ) -> None:
        """Starts episode ``b`` with idle replicas; the arrays are (N + 1,)."""
        for array in self:
            array[b] = 0
        requests, replicas = self.requests[b], self.replicas[b]
        requests["arrived"], requests["prefill"], requests["decode"] = arrived, prefill, decode
        requests["first_token"] = requests["finished"] = np.nan
        requests["replica"] = requests["behind"] = NONE
        replicas["head"] = replicas["tail"] = NONE
        replicas["iteration_end"] = np.inf

    @property
    def queue_lengths(self) -> NDArray[np.int64]:
        """Requests of each replica that are not finished, (B, R)."""
        lengths: NDArray[np.int64] = self.replicas["waiting"] + self.replicas["running"]
        return lengths


@njit(cache=True)
def route(
    simulation: Simulation, serving: Serving, actions: NDArray[np.int64], over: NDArray[np.bool_]
) -> int:
    """Sends the request of each episode to a replica and lets time pass up to the next arrival.

    Args:
        simulation: changed in place.
        serving: constants of the replicas.
        actions: (B,), a replica for each episode.
        over: (B,), episodes to leave alone.

    Returns:
        An episode whose action is no replica, in which case nothing was done, or ``NONE``.
    """
    for b in range(actions.shape[0]):
        if not over[b] and not 0 <= actions[b] < simulation.replicas.shape[1]:
            return b
    for b in range(actions.shape[0]):
        if over[b]:
            continue
        episode, r = simulation.episodes[b], actions[b]
        now = simulation.requests[b, episode.decision].arrived
        horizon = simulation.requests[b, episode.decision + 1].arrived
        _enqueue(simulation.requests[b], simulation.replicas[b, r], episode.decision, r)
        if simulation.replicas[b, r].iteration_end == np.inf:
            _compose(simulation, serving, b, r, now)
        decay = math.exp((now - horizon) / serving.metrics_window_s)
        episode.completions *= decay
        episode.latency *= decay
        _advance(simulation, serving, b, horizon)
        episode.decision += 1
    return NONE


@njit(cache=True)
def drain(simulation: Simulation, serving: Serving, over: NDArray[np.bool_]) -> None:
    """Lets the replicas of the episodes that are over, (B,), finish all that was routed to them."""
    for b in range(over.shape[0]):
        if over[b]:
            _advance(simulation, serving, b, _END_OF_TIME)


@njit
def _advance(simulation, serving, b, horizon):  # type: ignore[no-untyped-def]
    for r in range(simulation.replicas.shape[1]):
        replica = simulation.replicas[b, r]
        while replica.iteration_end <= horizon:
            now = replica.iteration_end
            _conclude(simulation, serving, b, r, horizon)
            _compose(simulation, serving, b, r, now)


@njit
def _compose(simulation, serving, b, r, now):  # type: ignore[no-untyped-def]
    """Chooses the tokens of the replica's next iteration, and with them its end."""
    requests, replica, running = simulation.requests[b], simulation.replicas[b, r], simulation.running[b, r]
    budget = serving.token_budget
    context = 0
    short_of_blocks = False

    i = 0
    while i < replica.running:
        request = requests[running[i]]
        tokens = min(_uncomputed(request), budget)
        missing = _blocks(request.computed + tokens, serving) - request.blocks
        while missing > serving.blocks - replica.allocated and i < replica.running:
            short_of_blocks = True
            simulation.episodes[b].preemptions += 1
            _preempt_newest(requests, replica, running)
        if i == replica.running:  # it was the newest itself
            break
        if missing > 0:
            request.blocks += missing
            replica.allocated += missing
        if tokens > 0:
            context += request.computed
        request.scheduled = tokens
        budget -= tokens
        i += 1

    while (
        not short_of_blocks and budget > 0 and replica.waiting > 0 and replica.running < serving.max_sequences
    ):
        request = requests[replica.head]
        needed = _blocks(_uncomputed(request), serving)
        reserved = serving.reserved_blocks if replica.running > 0 else 0
        if needed > serving.blocks - replica.allocated - reserved:
            break
        running[replica.running] = _dequeue(requests, replica)
        replica.running += 1
        replica.allocated += needed
        request.blocks = needed
        request.scheduled = min(_uncomputed(request), budget)
        budget -= request.scheduled

    tokens = serving.token_budget - budget
    if tokens == 0:
        replica.iteration_end = np.inf
    else:
        compute = max(serving.weights_s, serving.token_s * tokens)
        seconds = serving.overhead_s + compute + serving.kv_token_s * context
        replica.iteration_end = now + seconds / serving.speeds[r]


@njit
def _conclude(simulation, serving, b, r, horizon):  # type: ignore[no-untyped-def]
    """Gives every request of the iteration its tokens, and releases those that are finished."""
    episode, replica, running = simulation.episodes[b], simulation.replicas[b, r], simulation.running[b, r]
    now = replica.iteration_end
    kept = 0
    for i in range(replica.running):
        request = simulation.requests[b, running[i]]
        request.computed += request.scheduled
        if _uncomputed(request) == 0:
            request.emitted += 1
            if request.emitted == 1:
                request.first_token = now
        if request.emitted < request.decode:
            running[kept] = running[i]
            kept += 1
        else:
            request.finished = now
            replica.allocated -= request.blocks
            request.blocks = 0
            weight = math.exp((now - horizon) / serving.metrics_window_s)
            episode.completions += weight
            episode.latency += weight * (now - request.arrived)
    replica.running = kept


@njit
def _uncomputed(request):  # type: ignore[no-untyped-def]
    """Tokens known but not in the cache: one for a request that decodes."""
    return request.prefill + request.emitted - request.computed


@njit
def _blocks(tokens, serving):  # type: ignore[no-untyped-def]
    return (tokens + serving.block_size - 1) // serving.block_size


@njit
def _preempt_newest(requests, replica, running):  # type: ignore[no-untyped-def]
    replica.running -= 1
    q = running[replica.running]
    request = requests[q]
    replica.allocated -= request.blocks
    request.blocks = 0
    request.computed = 0
    request.preempted = 1
    replica.preempted += 1
    request.behind = replica.head if replica.waiting > 0 else NONE
    replica.head = q
    if replica.waiting == 0:
        replica.tail = q
    replica.waiting += 1


@njit
def _enqueue(requests, replica, q, r):  # type: ignore[no-untyped-def]
    requests[q].replica = r
    if replica.waiting == 0:
        replica.head = q
    else:
        requests[replica.tail].behind = q
    replica.tail = q
    replica.waiting += 1


@njit
def _dequeue(requests, replica):  # type: ignore[no-untyped-def]
    q = replica.head
    replica.head = requests[q].behind
    replica.waiting -= 1
    replica.preempted -= requests[q].preempted
    requests[q].preempted = 0
    return q
