"""Reads a run folder; what is missing or damaged is noted, not fatal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from rayrl.errors import ConfigError, IntegrityError, RunError
from rayrl.evaluation.result import EvaluationResult, load_result
from rayrl.report.curves import Curve, read_curve
from rayrl.report.evaluations import read_evaluations
from rayrl.report.records import (
    ChunkRecord,
    CollectRecord,
    DatasetRecord,
    EnvironmentRecord,
    EvaluateManifest,
    ExperimentRecord,
    FailureRecord,
    LatencyRecord,
    PolicyRecord,
    PretrainSummary,
    Record,
    RunInfo,
    TrialCosts,
    TrialManifest,
    TrialRecord,
)
from rayrl.report.run_data import COLD, RANDOM, Pretraining, RunData, Trial
from rayrl.storage.atomic import read_json

R = TypeVar("R", bound=Record)


def read_run(path: Path) -> RunData:
    """Reads what the stages of a run have written so far.

    Raises:
        RunError: the folder holds no run.
        IntegrityError: ``config.json`` is damaged; anything else may be.
    """
    file = path / "config.json"
    if not file.exists():
        raise RunError(
            "there is no run in this folder",
            where=str(path),
            remedy="name a run folder, such as one below runs/",
        )
    config = read_json(file, "the run's experiment")
    try:
        experiment = ExperimentRecord.parse(config, where=str(file))
    except ConfigError as error:
        raise IntegrityError(error.message, where=str(file)) from None
    reader = _Reader(path, draws=experiment.evaluate.stochastic)
    pretrains = any(condition != COLD for condition in experiment.conditions)
    info = reader.record(RunInfo, "run.json", missing=None) or RunInfo()
    if experiment.pretrain.skip_bc:  # nobody demonstrated
        experiment = experiment.model_copy(update={"collect": CollectRecord()})
    dataset = reader.dataset() if pretrains and experiment.collect.demonstrates else None
    failures = tuple(reader.failures())
    evaluated = reader.record(EvaluateManifest, "stages/evaluate/manifest.json", missing=None)
    return RunData(
        path=path,
        experiment=experiment,
        config=config,
        info=info,
        environment=reader.record(
            EnvironmentRecord, "environment.json", missing="The hardware is not recorded."
        )
        or EnvironmentRecord(),
        dataset=dataset,
        pretraining=tuple(
            reader.pretraining(architecture, seed)
            for architecture in experiment.architectures
            for seed in experiment.seeds
            if pretrains
        ),
        trials=tuple(
            reader.trial(architecture, condition, seed)
            for architecture in experiment.architectures
            for condition in experiment.conditions
            for seed in experiment.seeds
        ),
        demonstrators=reader.demonstrators({RANDOM, *experiment.collect.demonstrators}),
        problems=tuple(reader.problems),
        failures=failures,
        evaluation_warnings=evaluated.extra.warnings if evaluated else (),
    )


class _Reader:
    """Reads files of one run, and notes what is wrong with them.

    Args:
        path: the run folder.
        draws: whether policies are to be evaluated with drawn actions as well.
    """

    def __init__(self, path: Path, *, draws: bool) -> None:
        self._path = path
        self._draws = draws
        self.problems: list[str] = []

    def record(self, kind: type[R], name: str, *, missing: str | None) -> R | None:
        """A JSON file; None where it is missing, which is noted as ``missing`` says, or damaged."""
        file = self._path / name
        if not file.exists():
            if missing:
                self.problems.append(missing)
            return None
        try:
            return kind.parse(read_json(file, "it"), where=name)
        except (IntegrityError, ConfigError) as error:
            self.problems.append(f"{name} is damaged: {error.message}.")
            return None

    def dataset(self) -> DatasetRecord | None:
        """The manifest of the demonstrations."""
        return self.record(
            DatasetRecord, "collect/manifest.json", missing="No demonstrations were collected."
        )

    def pretraining(self, architecture: str, seed: int) -> Pretraining:
        """One pretrained policy."""
        name = f"{architecture}/pretrain/seed_{seed}"
        summary = self.record(
            PretrainSummary, f"{name}/summary.json", missing=f"{name}: pretraining is not done."
        )
        done = not self._failed(name)
        evaluation, drawn, policy = self._results(name, done=done, noted=summary is not None)
        curve = self._curve(f"{name}/curve.jsonl", "epoch")
        weights = policy.weights_sha256 if policy else None
        return Pretraining(architecture, seed, curve, summary if done else None, evaluation, weights, drawn)

    def trial(self, architecture: str, condition: str, seed: int) -> Trial:
        """One trial."""
        name = f"{architecture}/{condition}/seed_{seed}"
        state = self.record(TrialRecord, f"{name}/trial.json", missing=f"{name}: never started.")
        done = (state is None or state.state == "finished") and not self._failed(name)
        evaluation, drawn, policy = self._results(name, done=done, noted=state is not None)
        curve = self._curve(f"{name}/progress.jsonl", "step")
        evaluations, damaged = read_evaluations(self._path / name / "evaluations.jsonl")
        if damaged:
            self.problems.append(f"{name}/evaluations.jsonl: {damaged} of its lines could not be read.")
        latency = self.record(LatencyRecord, f"{name}/latency.json", missing=None) if done else None
        manifest = self.record(TrialManifest, f"{name}/manifest.json", missing=None) if done else None
        return Trial(
            architecture,
            condition,
            seed,
            curve,
            state,
            evaluation,
            chunks=tuple(self._chunks(name)),
            evaluations=evaluations,
            policy=policy,
            latency=latency,
            costs=manifest.extra if manifest else TrialCosts(),
            drawn=drawn,
        )

    def failures(self) -> Iterator[FailureRecord]:
        """What failed for good, pretraining first."""
        names = [str(file.relative_to(self._path)) for file in self._path.glob("*/*/seed_*/failure.json")]
        for name in sorted(names, key=lambda name: ("/pretrain/" not in name, name)):
            if record := self.record(FailureRecord, name, missing=None):
                yield record

    def _chunks(self, name: str) -> Iterator[ChunkRecord]:
        """The records of the chunks that a trial has ended, up to the first that it has not."""
        number = 1
        while record := self.record(ChunkRecord, f"{name}/chunks/chunk_{number}.json", missing=None):
            yield record
            number += 1

    def _failed(self, name: str) -> bool:
        return (self._path / name / "failure.json").exists()

    def _results(
        self, name: str, *, done: bool, noted: bool
    ) -> tuple[EvaluationResult | None, EvaluationResult | None, PolicyRecord | None]:
        """What a policy did, by its most likely actions and drawn ones, and what it is.

        None of it where the policy is not the one that the run was to come to.
        """
        if not done:
            if (self._path / name / "eval_results.json").exists():
                self.problems.append(
                    f"{name} is not done: its results are of an earlier training, and left out."
                )
            return None, None, None
        found = self._evaluations(name, noted=noted)
        policy = self.record(PolicyRecord, f"{name}/policy/policy.json", missing=None)
        if policy and any(each and each.actor.weights_sha256 != policy.weights_sha256 for each in found):
            self.problems.append(f"{name}: the results are not of the weights that are there now; left out.")
            found = (None, None)
        return *found, policy

    def demonstrators(self, expected: set[str]) -> dict[str, EvaluationResult]:
        """Results of demonstrators by name."""
        folder = self._path / "evaluate" / "demonstrators"
        there = sorted(file.stem for file in folder.glob("*.json"))
        self.problems += [
            f"The demonstrator {name} is not evaluated." for name in sorted(expected - {*there})
        ]
        found = {name: self._evaluation(f"evaluate/demonstrators/{name}.json", noted=True) for name in there}
        return {name: result for name, result in found.items() if result is not None}

    def _evaluations(
        self, name: str, *, noted: bool
    ) -> tuple[EvaluationResult | None, EvaluationResult | None]:
        """A policy's results by its most likely actions, and by drawn ones."""
        likely = self._evaluation(f"{name}/eval_results.json", noted=noted)
        file = f"{name}/eval_results_stochastic.json"
        return likely, self._evaluation(file, noted=noted and self._draws, how=" with drawn actions")

    def _evaluation(self, name: str, *, noted: bool, how: str = "") -> EvaluationResult | None:
        """Results; where they are missing, that is noted if they are due."""
        if not (self._path / name).exists():
            if noted:
                self.problems.append(f"{Path(name).parent}: the policy is not evaluated{how}.")
            return None
        try:
            return load_result(self._path / name)
        except IntegrityError as error:
            self.problems.append(f"{name} is damaged: {error.message}.")
            return None

    def _curve(self, name: str, key: str) -> Curve:
        curve, damaged = read_curve(self._path / name, key)
        if damaged:
            self.problems.append(f"{name}: {damaged} of its lines could not be read.")
        return curve
