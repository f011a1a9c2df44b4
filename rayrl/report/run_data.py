"""What a run folder holds, as the report reads it.

config.json                                             the experiment
run.json, environment.json                              when, versions, hardware
collect/manifest.json                                   demonstrations
<architecture>/pretrain/seed_<n>/                       curve.jsonl, summary.json, eval_results.json,
                                                        eval_results_stochastic.json
<architecture>/<condition>/seed_<n>/                    progress.jsonl, evaluations.jsonl, chunks/,
                                                        trial.json, eval_results.json, failure.json,
                                                        eval_results_stochastic.json
evaluate/demonstrators/<name>.json                      results of demonstrators
stages/evaluate/manifest.json                           what the evaluation was warned of
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayrl.evaluation.result import EvaluationResult
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.curves import Curve
from rayrl.report.evaluations import TrainingEvaluation
from rayrl.report.records import (
    ChunkRecord,
    DatasetRecord,
    EnvironmentRecord,
    ExperimentRecord,
    FailureRecord,
    LatencyRecord,
    PolicyRecord,
    PretrainSummary,
    RunInfo,
    TrialCosts,
    TrialRecord,
)

RANDOM = "random"
COLD, WARM, FREE = "no_pretrain", "with_pretrain", "with_pretrain_no_kl"
"""From scratch; from the pretrained policy; from it, and without what holds training to it by KL."""
INEXACT = (
    "a rollout worker or what replay held was lost, or it was resumed without the state of its environment, "
    "optimizer or replay"
)
"""Why a trial is not what an undisturbed one would have been."""


@dataclass(frozen=True, slots=True)
class Pretraining:
    """One pretrained policy."""

    architecture: str
    seed: int
    curve: Curve
    """By ``epoch``."""
    summary: PretrainSummary | None
    evaluation: EvaluationResult | None
    """Of the pretrained policy, before its first step of training."""
    weights_sha256: str | None = None
    """Of the policy that is there now."""
    drawn: EvaluationResult | None = None
    """As ``evaluation``, with actions drawn instead of the most likely ones."""

    @property
    def name(self) -> str:
        """Its folder in the run folder."""
        return f"{self.architecture}/pretrain/seed_{self.seed}"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial."""

    architecture: str
    condition: str
    seed: int
    curve: Curve
    """By ``step``; ``seconds/…`` are those of each iteration."""
    state: TrialRecord | None
    evaluation: EvaluationResult | None
    chunks: tuple[ChunkRecord, ...] = ()
    """How it ended each part of training, in order."""
    evaluations: tuple[TrainingEvaluation, ...] = ()
    """In the course of training, by step."""
    policy: PolicyRecord | None = None
    """What its policy folder says of the policy."""
    latency: LatencyRecord | None = None
    costs: TrialCosts = field(default_factory=TrialCosts)
    drawn: EvaluationResult | None = None
    """As ``evaluation``, with actions drawn instead of the most likely ones."""

    @property
    def name(self) -> str:
        """Its folder in the run folder."""
        return f"{self.architecture}/{self.condition}/seed_{self.seed}"

    @property
    def weights_sha256(self) -> str | None:
        """Of the policy that is there now."""
        return self.policy.weights_sha256 if self.policy else None

    @property
    def as_trained(self) -> EvaluationResult | None:
        """The evaluation in the environment as it was trained in, without other categories."""
        return None if self.evaluation is None else of_category(self.evaluation, AS_TRAINED)


def of_category(result: EvaluationResult, category: str) -> EvaluationResult | None:
    """The episodes of one category; results without categories are of the environment as trained."""
    if not result.categories:
        return result if category == AS_TRAINED else None
    return result.within(category) if category in result.categories else None


@dataclass(frozen=True, slots=True, eq=False)
class RunData:
    """A run folder's content as it was read; two readings are two things."""

    path: Path
    experiment: ExperimentRecord
    config: Mapping[str, Any]
    """``config.json`` as it is."""
    info: RunInfo
    environment: EnvironmentRecord
    dataset: DatasetRecord | None
    pretraining: tuple[Pretraining, ...]
    trials: tuple[Trial, ...]
    demonstrators: Mapping[str, EvaluationResult]
    problems: tuple[str, ...]
    """What is missing or damaged, one sentence each."""
    failures: tuple[FailureRecord, ...] = ()
    """Pretraining and trials without which the run went on."""
    evaluation_warnings: tuple[str, ...] = ()
    """Why the results of the evaluation may say less than they seem to."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of Python and the packages that the run used."""
        return self.environment.versions or self.info.versions

    @property
    def teachers(self) -> Mapping[str, float]:
        """Share of the demonstrations by demonstrator; of replays as many steps as each has in them."""
        if self.experiment.collect.replays is None or self.dataset is None:
            return self.experiment.collect.demonstrators
        return {name: facts["steps"] for name, facts in self.dataset.extra.demonstrators.items()}

    @property
    def demonstrated_steps(self) -> int | None:
        """Environment steps of the demonstrations; None where there are to be some and it is not known."""
        collect = self.experiment.collect
        if collect.replays is None:
            return collect.steps if collect.demonstrators else 0
        return int(sum(self.teachers.values())) or None

    @property
    def evaluated_in(self) -> str | None:
        """The options of the environment that the evaluation replaces; None where it replaces none."""
        changes = self.experiment.evaluate.env_config
        told = [f"{name}: {json.dumps(value)}" for name, value in changes.items()]
        return ", ".join(told) or None

    @property
    def reference(self) -> str | None:
        """The demonstrator that scores 1; None where there is none with results."""
        shares = self.teachers
        by_share = sorted(shares, key=lambda name: -shares[name])
        wanted = [self.experiment.report.reference, "least_outstanding", *by_share]
        return next((name for name in wanted if name in self.demonstrators and name != RANDOM), None)
