"""What a comparison found: ``report/comparison.json``."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from rayrl.comparison.criteria import Criterion
from rayrl.comparison.significance import LEVEL
from rayrl.config import Config
from rayrl.evaluation.statistics import FEWEST_RUNS, Estimate

FORMAT_VERSION = "1.0"
FILE = "comparison.json"

MeasureKind = Literal["success", "score", "return"]
"""What policies are scored by: the share of episodes that succeed; the return, where random actions have 0
and the reference 1; or the return as it is."""


CurveSource = Literal["evaluations", "training"]
"""What learning curves are of: evaluations in the course of training, or the recent episodes of training."""


class Scale(Config):
    """How a task's returns or success rates become scores: (x − low) / (high − low)."""

    low: float
    high: float
    low_from: str
    """What has ``low``, in words."""
    high_from: str


class LearningCurves(Config):
    """What sample efficiency is computed from."""

    source: CurveSource
    scale: Scale | None
    """How what they tell becomes a score: success as it is, returns of the environment as trained. None where
    returns stand as they are, and where scores have no such scale, so that there are no curves."""
    missing: dict[str, tuple[int, ...]]
    """By candidate, the training seeds whose curve does not tell what policies are scored by."""


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

    @property
    def run_means(self) -> list[float]:
        """The mean over tasks of each seed's scores."""
        means: list[float] = np.mean([*self.scores.values()], axis=0).tolist()
        return means

    @property
    def has_statistics(self) -> bool:
        """Whether its seeds are enough for intervals, pairs and shares; they are unknown where not."""
        return len(self.seeds) >= FEWEST_RUNS


def _taken_from(whole: float, estimate: Estimate) -> Estimate:
    low, value, high = (
        None if end is None else whole - end for end in (estimate.high, estimate.value, estimate.low)
    )
    return Estimate(value=value, low=low, high=high, n=estimate.n)


class Pair(Config):
    """One candidate against another."""

    a: str
    b: str
    """Their labels."""
    probability: Estimate
    """That a run of ``a`` scores higher than a run of ``b``."""
    difference: Estimate
    """Of their mean scores, a − b, with Welch's t interval."""
    p_value: float | None
    """Of Welch's t-test that their mean scores are equal, adjusted by Holm's procedure for the number of
    pairs that are tested; None, and not tested, where one has too few seeds."""

    @property
    def sign(self) -> int:
        """1 where ``a`` is better beyond chance, -1 where ``b`` is, else 0."""
        if self.p_value is None or self.p_value > LEVEL:
            return 0
        return int(np.sign(self.difference.value or 0.0))

    @property
    def mirrored(self) -> Pair:
        """The same, with ``b`` first."""
        return Pair(
            a=self.b,
            b=self.a,
            probability=_taken_from(1.0, self.probability),
            difference=_taken_from(0.0, self.difference),
            p_value=self.p_value,
        )


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
    """The share of resamples of the seeds in which it comes first, of those with seeds enough; None of too
    few."""


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
    front: tuple[str, ...]
    """Who is not beaten in all that counts at once."""
    fronts: tuple[Front, ...]


class Comparison(Config):
    """Candidates held against each other."""

    format_version: str = FORMAT_VERSION
    measure: MeasureKind
    tasks: tuple[str, ...]
    """The categories of the evaluation that are compared in, each with the same weight."""
    scales: dict[str, Scale] = Field(default={})
    """By task; empty where returns stand as they are."""
    learning: LearningCurves
    warnings: tuple[str, ...] = ()
    """What to know before one relies on it: who has too few seeds, and what was left out."""
    candidates: tuple[Candidate, ...]
    pairs: tuple[Pair, ...] = ()
    """Of those with seeds enough for statistics."""
    effects: tuple[Effect, ...] = ()
    decision: Decision
    recommendation: tuple[str, ...] = ()
    """Sentences: who, why, and how sure that is."""

    def candidate(self, label: str) -> Candidate:
        """The candidate of that label."""
        return next(each for each in self.candidates if each.label == label)

    def pairs_seen_from(self, label: str) -> list[Pair]:
        """The pairs of a candidate, with it first."""
        return [
            pair if pair.a == label else pair.mirrored for pair in self.pairs if label in (pair.a, pair.b)
        ]
