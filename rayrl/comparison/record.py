"""What a comparison found: ``report/comparison.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rayrl.comparison.criteria import Criterion
from rayrl.config import Config
from rayrl.evaluation.statistics import Estimate

FORMAT_VERSION = "1.0"
FILE = "comparison.json"

MeasureKind = Literal["success", "score", "return"]
"""What policies are scored by: the share of episodes that succeed; the return, where random actions have 0
and the reference 1; or the return as it is."""


class Scale(Config):
    """How a task's returns or success rates become scores: (x − low) / (high − low)."""

    low: float
    high: float
    low_from: str
    """What has ``low``, in words."""
    high_from: str


class Candidate(Config):
    """An architecture under a condition."""

    label: str
    architecture: str
    condition: str
    style: int
    """Index of the colour, dash and marker that stand for it in every figure."""
    seeds: tuple[int, ...]
    """The training seeds that count."""
    left_out: tuple[int, ...]
    """Those without results, or with results of other episodes."""
    scores: dict[str, tuple[float, ...]]
    """By task, one score for each of the seeds."""
    iqm: Estimate
    mean: Estimate
    median: Estimate
    optimality_gap: Estimate
    """Of scores with a scale; unknown of returns as they are."""
    criteria: dict[Criterion, Estimate]
    """What is weighed, the mean over seeds, of qualities with Student's t interval; unknown where it is not
    recorded."""
    flops: float | None
    """Floating point operations of one decision."""
    latency_p99: float | None
    """Milliseconds of a decision that 99 % take less than, at a batch of 1."""
    steps: float | None
    """Environment steps of a trial."""


class Pair(Config):
    """One candidate against another."""

    a: str
    b: str
    """Their labels."""
    probability: Estimate
    """That a run of ``a`` scores higher than a run of ``b``."""
    difference: Estimate
    """Of their mean scores, a − b."""

    @property
    def sign(self) -> int:
        """1 where ``a`` is better beyond doubt, -1 where ``b`` is, else 0."""
        low, high = self.probability.low, self.probability.high
        return 0 if low is None or high is None else int(low > 0.5) - int(high < 0.5)


class Effect(Config):
    """What a condition that starts from a policy does to an architecture, against ``no_pretrain``."""

    architecture: str
    condition: str
    seeds: tuple[int, ...]
    """Those in which both trials count."""
    score: Estimate
    """Difference of the mean scores, over seeds in pairs, with Student's t interval."""
    probability: Estimate
    """That a run with pretraining scores higher than one without."""
    sample_efficiency: Estimate
    """Difference of the sample efficiencies, as of the score."""


class Standing(Config):
    """One candidate's place in the decision."""

    label: str
    utilities: dict[Criterion, float]
    """From 0 to 1, of what counts."""
    total: float
    """Their weighted mean."""
    rank: int
    """From 1; equal totals have equal ranks."""
    first: float | None
    """The share of resamples of the seeds in which it comes first; None of too few seeds."""


class Front(Config):
    """Who is not beaten in quality and one cost at once."""

    cost: Criterion
    labels: tuple[str, ...]


class Decision(Config):
    """The candidates, weighed."""

    weights: dict[Criterion, float]
    """Of what counts, as given."""
    unknown: tuple[Criterion, ...]
    """What has a weight and is not known of every candidate, so that it does not count."""
    standings: tuple[Standing, ...]
    """Best first."""
    fronts: tuple[Front, ...]


class Comparison(Config):
    """Candidates held against each other."""

    format_version: str = FORMAT_VERSION
    measure: MeasureKind
    tasks: tuple[str, ...]
    """The categories of the evaluation that are compared in, each with the same weight."""
    scales: dict[str, Scale] = Field(default={})
    """By task; empty where returns stand as they are."""
    refused: str | None = None
    """Why there are no statistics over seeds; then intervals, pairs and shares are missing."""
    warnings: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...]
    pairs: tuple[Pair, ...] = ()
    effects: tuple[Effect, ...] = ()
    decision: Decision
    recommendation: tuple[str, ...] = ()
    """Sentences: who, why, and how sure that is."""

    def candidate(self, label: str) -> Candidate:
        """The candidate of that label."""
        return next(each for each in self.candidates if each.label == label)
