"""Which requests an episode brings, and when: synthetic streams or windows of a trace."""

from __future__ import annotations

import logging
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rayrl.envs.router.config import LengthDistribution, RouterConfig
from rayrl.envs.router.trace import Trace, load_trace
from rayrl.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

_SPLIT_CODES = {"train": 0, "eval": 1}
_CAPACITY_SAMPLE = 65_536
_CAPACITY_SEED = 0


class Requests(NamedTuple):
    """One episode's requests in order of arrival, the last of which is never routed; arrays of (N + 1,)."""

    arrived: NDArray[np.float64]
    """Seconds since the first."""
    prefill: NDArray[np.int64]
    decode: NDArray[np.int64]


class Saturation(NamedTuple):
    """What the replicas do when there is always more to do, by the cost model."""

    sequences: float
    """Requests that decode at once on a replica."""
    requests_per_s: float
    """Requests that all replicas finish together: their capacity."""

    @classmethod
    def of(cls, config: RouterConfig, prefill: NDArray[np.int64], decode: NDArray[np.int64]) -> Self:
        """The steady state under requests like those given, prompt tokens and tokens to generate of each.

        With n sequences decoding, each iteration advances every one of them by a token, and prefills as many
        tokens as keep up, q = n E[P] / E[D] on average. A decoding sequence holds k tokens, weighted by how
        long it decodes: k = E[D (P + D / 2)] / E[D], and half a block that is not full. Prefill comes in
        chunks that fill the token budget, in a share f = q / (token_budget - n) of the iterations. So

            n = min(max_sequences, KV tokens / k, token_budget / (1 + q / n)),
            seconds = f iteration_s(token_budget, n k) + (1 - f) iteration_s(n, n k),
            capacity = n / (E[D] * seconds) * sum of the speeds.
        """
        prefill_per_decode = prefill.mean() / decode.mean()
        context = float((decode * (prefill + decode / 2)).mean() / decode.mean())
        cache, budget = config.kv_cache, config.batching.token_budget
        sequences = min(
            config.batching.max_sequences,
            cache.tokens * (1 - cache.watermark) / (context + cache.block_size / 2),
            budget / (1 + prefill_per_decode),
        )
        share = sequences * prefill_per_decode / (budget - sequences)
        chunked = config.cost.iteration_s(budget, sequences * context)
        decoding = config.cost.iteration_s(sequences, sequences * context)
        seconds = share * chunked + (1 - share) * decoding
        return cls(sequences, float(sequences / (decode.mean() * seconds) * sum(config.replica_speeds)))


class Workload:
    """Draws the requests of episodes; ``rate`` is the offered load in requests per second.

    Raises:
        ConfigError: the trace is missing, or its part is shorter than an episode.
        DataError: the trace cannot be read.
    """

    def __init__(self, config: RouterConfig) -> None:
        self._config = config
        self._trace: Trace | None = None
        if config.trace is None:
            sample = np.random.Generator(np.random.Philox(_CAPACITY_SEED))
            prefill = _draw_lengths(config.prefill, sample, _CAPACITY_SAMPLE)
            decode = _draw_lengths(config.decode, sample, _CAPACITY_SAMPLE)
        else:
            trace = load_trace(config.trace, kv_tokens=config.kv_cache.tokens).part(config.split)
            if len(trace) < config.requests + 1:
                raise ConfigError(
                    f"requests = {config.requests}: the {config.split} part of {config.trace} holds "
                    f"{len(trace)} requests, and an episode needs one more than it decides",
                    where="rayrl/Router-v0",
                )
            if trace.arrived[-1] == trace.arrived[0]:
                raise DataError(
                    f"all requests of the {config.split} part arrive at once, at {trace.arrived[0]:g} s",
                    where=str(config.trace),
                )
            logger.info("arrivals come from %s (%s part)", config.trace, config.split)
            self._trace, prefill, decode = trace, trace.prefill, trace.decode
        self.saturation = Saturation.of(config, prefill, decode)
        self.rate = self._rate()

    def _rate(self) -> float:
        if self._config.qps is not None:
            return self._config.qps
        if self._config.target_load is not None:
            return self._config.target_load * self.saturation.requests_per_s
        assert self._trace is not None, "validated by RouterConfig"
        return _mean_rate(self._trace)

    def draw(self, seed: int, episode: int) -> Requests:
        """The requests of one episode, a function of the seed, the episode's number and the split alone."""
        key = np.random.SeedSequence([seed, episode, _SPLIT_CODES[self._config.split]])
        generator = np.random.Generator(np.random.Philox(key))
        return self._synthesize(generator) if self._trace is None else self._window(self._trace, generator)

    def _synthesize(self, generator: np.random.Generator) -> Requests:
        config, count = self._config, self._config.requests + 1
        cv = config.burstiness if config.arrivals == "gamma" else 1.0
        # A gamma of shape 1 / cv² has coefficient of variation cv; shape 1 is the exponential.
        gaps = generator.gamma(cv**-2, cv**2 / self.rate, count - 1)
        arrived = np.concatenate([[0.0], np.cumsum(gaps)])
        prefill = _draw_lengths(config.prefill, generator, count)
        return Requests(arrived, prefill, _draw_lengths(config.decode, generator, count))

    def _window(self, trace: Trace, generator: np.random.Generator) -> Requests:
        count = self._config.requests + 1
        start = int(generator.integers(len(trace) - count + 1))
        rows = slice(start, start + count)
        stretch = _mean_rate(trace) / self.rate
        arrived = (trace.arrived[rows] - trace.arrived[start]) * stretch
        return Requests(arrived, trace.prefill[rows], trace.decode[rows])


def _draw_lengths(
    lengths: LengthDistribution, generator: np.random.Generator, count: int
) -> NDArray[np.int64]:
    # A log-normal of mean m and coefficient of variation c: σ² = ln(1 + c²), μ = ln m - σ² / 2.
    variance = np.log1p(lengths.cv**2)
    tokens = generator.lognormal(np.log(lengths.mean) - variance / 2, np.sqrt(variance), count)
    return np.clip(np.rint(tokens), 1, lengths.maximum).astype(np.int64)


def _mean_rate(trace: Trace) -> float:
    return (len(trace) - 1) / float(trace.arrived[-1] - trace.arrived[0])
