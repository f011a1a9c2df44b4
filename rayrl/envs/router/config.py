"""Options of ``rayrl/Router-v0``: load, requests, replicas, observation and reward."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from rayrl.config import Config, InputPath

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class LengthDistribution(Config):
    """Token counts of synthetic requests: a log-normal, rounded and clipped to [1, maximum]."""

    mean: Positive
    """Mean tokens before clipping."""
    cv: NonNegative
    """Standard deviation divided by the mean, before clipping."""
    maximum: Count
    """No request has more tokens than this."""


class CostModel(Config):
    """Seconds that one iteration takes on a replica of speed 1.

    overhead_s + max(weights_s, token_s * tokens) + kv_token_s * context

    ``tokens`` are all tokens processed, prefill and decode alike; ``context`` counts the tokens that the
    scheduled sequences already hold in the KV cache. The defaults describe a 7B model in fp16 on one A100
    (docs/router.md derives them and compares them with published measurements).
    """

    overhead_s: NonNegative = 1.0e-3
    """Scheduling and kernel launches."""
    weights_s: NonNegative = 8.8e-3
    """Reading the weights once: the floor of an iteration, and the cost of a small decode batch."""
    token_s: Positive = 6.5e-5
    """The matrix products of one token, once there are enough tokens to be bound by compute."""
    kv_token_s: NonNegative = 3.4e-7
    """Reading one token's keys and values."""

    def iteration_s(self, tokens: float, context: float) -> float:
        """Seconds of an iteration over ``tokens`` tokens whose sequences hold ``context`` cached ones."""
        return self.overhead_s + max(self.weights_s, self.token_s * tokens) + self.kv_token_s * context


class KVCache(Config):
    """The paged KV cache of one replica."""

    blocks: Count = 2048
    """Blocks of a replica."""
    block_size: Count = 16
    """Tokens in a block."""
    watermark: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the blocks that admission leaves free, so that running requests can grow."""

    @property
    def tokens(self) -> int:
        """Tokens that the whole cache holds."""
        return self.blocks * self.block_size


class Batching(Config):
    """Limits of one iteration."""

    max_sequences: Count = 64
    """Requests that may run at once."""
    token_budget: Count = 512
    """Tokens in one iteration; a longer prompt is prefilled in chunks."""

    @field_validator("token_budget")
    @classmethod
    def _decode_fits(cls, budget: int, info: ValidationInfo) -> int:
        if budget < info.data.get("max_sequences", 1):
            raise ValueError(f"is less than max_sequences = {info.data['max_sequences']}, a token for each")
        return budget


class HybridReward(Config):
    """Weights of the hybrid reward; ``reward.py`` states the formula."""

    absolute_weight: float = 0.8
    """Weight of the level of throughput and latency."""
    delta_weight: float = 0.2
    """Weight of their change."""
    latency_weight: float = 0.1
    """Weight of the latency in the level."""
    throughput_gain: float = 0.3
    """Weight of the throughput in the change."""
    latency_gain: float = 0.2
    """Weight of the latency in the change."""
    logistic_weight: float = 0.05
    """Weight of the penalty that sets in around the latency threshold."""
    logistic_width_s: Positive = 2.0
    """How gradually it sets in."""
    load_balance_penalty: float = 1.0
    """Weight of the queues' coefficient of variation."""
    spread_penalty: float = 1.0
    """Weight of the queues' standard deviation."""
    scale: Positive = 1.5
    """What the sum is divided by."""
    clip: Positive = 4.0
    """Bound on the absolute reward."""


class MetricReward(Config):
    """Weights of the delta and instant rewards; ``reward.py`` states the formula."""

    throughput_weight: float = 1.0
    """Weight of the throughput."""
    latency_weight: float = 0.5
    """Weight of the latency."""
    utilization_penalty: float = 0.5
    """Weight of the difference between the fullest and the emptiest KV cache."""
    load_balance_penalty: float = 0.5
    """Weight of the queues' coefficient of variation."""
    threshold_penalty: float = 0.5
    """Weight of the latency beyond its threshold."""
    scale: Positive = 2.0
    """What the sum is divided by."""
    clip: Positive = 3.0
    """Bound on the absolute reward."""


class Reward(Config):
    """Which reward a decision earns, and by what weights."""

    mode: Literal["hybrid", "delta", "instant"] = "hybrid"
    """Which formula: levels and changes together, changes alone, or levels alone."""
    throughput_target: Positive | None = None
    """Requests per second; null takes the offered rate."""
    latency_threshold_s: Positive = 6.0
    """Mean latency that is still good."""
    ema_alpha: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Weight of the newest value in the averages that the hybrid reward compares with."""
    hybrid: HybridReward = HybridReward()
    metric: MetricReward = MetricReward()


class ServiceLevel(Config):
    """What a request must meet to count towards goodput."""

    ttft_s: Positive = 1.0
    """Time to first token."""
    tpot_s: Positive = 0.05
    """Mean time per output token after the first."""


class RouterConfig(Config):
    """Keyword arguments of ``gymnasium.make("rayrl/Router-v0")``."""

    replicas: Count = 4
    """Servers of the model, and so actions."""
    speeds: tuple[Positive, ...] | None = None
    """Relative speed of each replica; null makes all 1."""
    cost: CostModel = CostModel()
    kv_cache: KVCache = KVCache()
    batching: Batching = Batching()

    arrivals: Literal["poisson", "gamma", "trace"] = "poisson"
    """When requests come: at random, in bursts, or as in a trace."""
    burstiness: Positive = 2.0
    """Coefficient of variation of the gaps between gamma arrivals (Poisson has 1)."""
    trace: InputPath | None = None
    """CSV of arrived_at (seconds), num_prefill_tokens, num_decode_tokens. Given, all requests are its own."""
    split: Literal["train", "eval"] = "train"
    """Evaluation takes the last 20 % of a trace, which training never sees, or random streams of its own."""
    qps: Positive | None = None
    """Requests per second."""
    target_load: Positive | None = 0.85
    """Requests per second as a share of what the replicas can serve; null with a trace keeps its gaps."""
    reference_qps: Positive | None = None
    """Requests per second that observation and reward count rates in; null takes the offered rate."""
    requests: Count = 512
    """Decisions in an episode."""
    prefill: LengthDistribution = LengthDistribution(mean=1155.0, cv=0.96, maximum=8192)
    decode: LengthDistribution = LengthDistribution(mean=211.0, cv=0.77, maximum=1024)

    pending_requests: Annotated[int, Field(ge=0)] = 4
    """Requests of each replica still awaiting their prefill that the observation describes."""
    enhanced: bool = True
    """Whether the observation describes the recent past, too."""
    history_window: Annotated[int, Field(ge=2)] = 5
    """Decisions that the enhanced features look back on."""
    metrics_window_s: Positive = 5.0
    """Time constant of the observed throughput and latency."""

    reward: Reward = Reward()
    slo: ServiceLevel = ServiceLevel()

    @model_validator(mode="before")
    @classmethod
    def _qps_replaces_the_default_load(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("qps") is not None:
            return {"target_load": None, **values}
        return values

    @field_validator("speeds")
    @classmethod
    def _one_speed_each(
        cls, speeds: tuple[float, ...] | None, info: ValidationInfo
    ) -> tuple[float, ...] | None:
        replicas = info.data.get("replicas")
        if speeds is not None and replicas is not None and len(speeds) != replicas:
            raise ValueError(f"must name one speed for each of the {replicas} replicas")
        return speeds

    @field_validator("trace")
    @classmethod
    def _trace_given(cls, trace: Path | None, info: ValidationInfo) -> Path | None:
        if trace is None and info.data.get("arrivals") == "trace":
            raise ValueError("arrivals = 'trace' needs the path of a trace")
        return trace

    @field_validator("target_load")
    @classmethod
    def _one_rate(cls, target_load: float | None, info: ValidationInfo) -> float | None:
        qps = info.data.get("qps")
        if qps is not None and target_load is not None:
            raise ValueError(f"qps = {qps} sets the rate already; set one of them to null")
        if qps is None and target_load is None and info.data.get("trace", ...) is None:
            raise ValueError("synthetic arrivals need target_load or qps")
        return target_load

    @field_validator("decode")
    @classmethod
    def _requests_fit(cls, decode: LengthDistribution, info: ValidationInfo) -> LengthDistribution:
        if info.data.get("trace", ...) is not None or not {"prefill", "kv_cache"} <= info.data.keys():
            return decode
        largest = info.data["prefill"].maximum + decode.maximum
        capacity = info.data["kv_cache"].tokens
        if largest > capacity:
            raise ValueError(
                f"prefill.maximum + decode.maximum = {largest} tokens exceed the KV cache of {capacity}"
            )
        return decode

    @property
    def replica_speeds(self) -> tuple[float, ...]:
        """The relative speed of every replica."""
        return self.speeds if self.speeds is not None else (1.0,) * self.replicas
