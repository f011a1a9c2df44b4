"""Sections of PPO's options: what holds it near a policy, how it explores, and what comes before learning."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from rayrl.config import Config

Signal = Literal["queue", "latency", "balance"]
Share = Annotated[float, Field(gt=0, le=1)]


class ReferenceKL(Config):
    """Holds the policy near the one that the trial starts from, by β KL(π ‖ π_ref) (arXiv:1909.08593, §2.2).

    π_ref is a frozen copy of the starting policy, its observation normalizer included. ``initial``, ``final``
    and the linear decay are those of the system in ``docs/migrating.md``, "Warm start"; its decay counted
    minibatches. ``adaptive`` is Ziegler et al. 2019, with a horizon as in TRL.
    """

    estimator: Literal["exact", "k1", "k2", "k3"] = "exact"
    """The divergence of the whole distributions, or one of Schulman's estimators from the sampled actions."""
    added_to: Literal["loss", "reward"] = "loss"
    """Where the penalty acts: in the loss, or on each step's reward before advantages are computed."""
    initial: NonNegativeFloat = 0.3
    """β at the start, in units of the advantage, or of the (scaled) reward, per nat."""
    final: NonNegativeFloat = 0.0
    """β that ``linear`` and ``cosine`` end at, and stay at."""
    schedule: Literal["linear", "cosine", "constant", "adaptive"] = "linear"
    """How β goes on from ``initial``; ``adaptive`` steers the divergence to ``target``."""
    decay_steps: PositiveInt = 50_000
    """Steps after which ``final`` is reached."""
    unit: Literal["env_steps", "gradient_steps"] = "env_steps"
    """What ``decay_steps`` counts: environment steps trained on, or steps of the optimizer."""
    target: PositiveFloat | None = None
    """Of ``adaptive``: the divergence in nats to be kept; β grows above it and shrinks below it."""
    horizon: PositiveInt = 10_000
    """Of ``adaptive``: the environment steps over which an error of 20 % changes β by 20 %."""

    @model_validator(mode="after")
    def _adaptive_has_a_target(self) -> Self:
        if (self.schedule == "adaptive") != (self.target is not None):
            raise ValueError("schedule: adaptive and a target go together; give both or neither")
        if self.schedule == "adaptive" and self.initial == 0:
            raise ValueError("initial must be more than 0 for schedule: adaptive, which multiplies it")
        return self


class TemperatureControl(Config):
    """Samples actions at a temperature T that follows load and stagnation; it changes once an iteration.

    T = base − queue_gain P_queue − latency_gain P_latency + balance_gain (1 − balance) + pulse, in bounds.

    The formula, gains, pulses and bounds are those of the system in ``docs/migrating.md``, "Warm start";
    it changed T with each decision.
    """

    base: PositiveFloat = 1.5
    """T without any pressure, in balance."""
    minimum: PositiveFloat = 0.8
    """T is never less."""
    maximum: PositiveFloat = 3.0
    """T is never more, and never more than twice this in a pulse."""
    signals: dict[Signal, str] = Field(default={"queue": "queue", "latency": "latency", "balance": "balance"})
    """Which signals are used, and what the environment calls each, in ``signals()`` or ``info``."""
    queue_target: PositiveFloat = 1.0
    """Queue q at which P_queue, the moving average of (q − target) / target, is 0."""
    queue_gain: NonNegativeFloat = 0.05
    """Weight of P_queue."""
    latency_target: PositiveFloat = 1.0
    """Latency l up to which P_latency, the moving average of max(0, (l − target) / target), is 0."""
    latency_gain: NonNegativeFloat = 0.1
    """Weight of P_latency."""
    balance_gain: NonNegativeFloat = 0.1
    """Weight of 1 − balance."""
    ema_alpha: Share = 0.1
    """Weight of the newest iteration in both moving averages, which begin at their first value."""
    pulse_magnitude: NonNegativeFloat = 2.0
    """What a pulse adds, as a multiple of ``base``; 0 for no pulses."""
    pulse_length: PositiveInt = 3
    """Iterations of a pulse."""
    pulse_interval: PositiveInt | None = 8
    """Iterations from the start of a pulse to the next one; null for pulses on stagnation only."""
    stagnation_of: Literal["return", "signals"] = "return"
    """Whose change is watched: the mean return's, relative to it, or queue's and latency's together."""
    stagnation_window: PositiveInt = 5
    """Iterations that must change less than the threshold, all of them, for a pulse to begin."""
    stagnation_threshold: PositiveFloat = 0.005
    """Below it an iteration counts as unchanged."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.minimum <= self.base <= self.maximum:
            raise ValueError(f"base = {self.base:g} is not between minimum and maximum")
        if self.pulse_interval is not None and self.pulse_interval <= self.pulse_length:
            raise ValueError("pulse_interval must be more than pulse_length, or all would be one pulse")
        if self.stagnation_of == "signals" and not self.signals.keys() & {"queue", "latency"}:
            raise ValueError("stagnation_of: signals needs a queue or a latency among the signals")
        return self


class Stabilization(Config):
    """Steps before training that feed running statistics, and that nothing is learned from.

    They update the observation normalizer and, where ``normalize_rewards`` is on, the scale of rewards.
    """

    steps: PositiveInt = 2048
    """Environment steps over all rollout workers; they do not count as training."""
    policy: str = "random"
    """Who acts meanwhile: ``random``, or a demonstrator of the environment."""


class Sections(Config):
    """The options of PPO that are mappings of options; each is off where it is null."""

    kl_ref: ReferenceKL | None = None
    temperature: TemperatureControl | None = None
    stabilization: Stabilization | None = None
