"""The pretrain stage of one architecture: one policy per seed, by behaviour cloning or as it was given.

<architecture>/pretrain/seed_<n>/
    checkpoint/     the newest epoch, until the seed is done
    curve.jsonl     one line an epoch
    faults/         a batch that it could not learn from, where there was one
    summary.json    agreement with held-out demonstrations, its ceiling, and what to change
    policy/         the epoch that did best on held-out demonstrations
    manifest.json   written last: the seed is done
    failure.json    why the seed yields no policy, until it is tried again

A seed that yields no policy is a failure of its own: the trials that would start from it are not trained, and
never from anything else; the others are.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayrl.algorithms.bc import BC, BCConfig
from rayrl.errors import DataError, RayrlError, StorageError, TrainingError
from rayrl.experience.dataset import open_dataset
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline.cloning_quality import held_out_agreements, warnings_of
from rayrl.pipeline.collect_stage import demonstrations_folder, never_demonstrated
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.external_policy import external_weights, network_with
from rayrl.pipeline.failure import FAILED, Failure, forget_failure, write_failure
from rayrl.pipeline.learner_folders import keep_faults
from rayrl.pipeline.out_of_memory import is_out_of_memory
from rayrl.pipeline.trial_config import network_config
from rayrl.pipeline.trial_outcome import FAULTS_FOLDER, forget_outcome
from rayrl.pipeline.trial_spec import pretrain_folder
from rayrl.rollout.demo_plan import spaces_of
from rayrl.rollout.demo_share import never_taken
from rayrl.storage.atomic import atomic_folder, remove_leftovers, storage_errors, write_json, write_text
from rayrl.storage.manifest import reason_to_run, write_manifest

_SUMMARY = "summary.json"
_OUTPUTS = ("policy/policy.json", "policy/weights.safetensors", "curve.jsonl", _SUMMARY)


def run(context: StageContext) -> StageOutputs | None:
    """Pretrains every seed that is not done.

    Raises:
        PolicyError: the policy to start from does not fit the architecture.
        IntegrityError: the demonstrations are damaged.
    """
    name = context.unit.architecture
    assert name is not None
    dataset = None
    if not context.experiment.pretrain.skip_bc:
        dataset = demonstrations_folder(context.folder)
        opened = open_dataset(dataset)
        opened.verify()
        if missing := never_taken(opened.manifest.extra.get("demonstrators", {})):
            in_replays = context.experiment.collect.replays is not None
            context.warn(never_demonstrated(missing, in_replays=in_replays))
    files: list[Path] = []
    failed: dict[str, str] = {}
    for seed in context.experiment.seeds:
        folder = pretrain_folder(context.folder, name, seed)
        try:
            if dataset is None:
                take_over(context, name, seed, folder)
            elif not _Seed(context, name, seed, dataset, folder).run():
                return None
        except StorageError:
            raise
        except Exception as error:
            if context.local or not _others_go_on(context, seed, failed):
                raise
            failure = _failure_of(error, f"{name}-pretrain-seed_{seed}")
            write_failure(folder, failure)
            failed[failure.name] = failure.error
            context.log.error("seed %d failed", seed, exc_info=True)
            context.warn(f"seed {seed} yields no policy, and what starts from it is not trained: {error}")
            continue
        forget_failure(folder)
        files += [folder / output for output in _OUTPUTS]
    return StageOutputs(tuple(files), extra={FAILED: failed} if failed else {})


def _others_go_on(context: StageContext, seed: int, failed: Mapping[str, str]) -> bool:
    """Whether there is anything to train without a seed's policy, and without those that failed."""
    experiment = context.experiment
    is_last = seed == experiment.seeds[-1] and len(failed) == len(experiment.seeds) - 1
    return "no_pretrain" in experiment.conditions or len(experiment.architectures) > 1 or not is_last


def _failure_of(error: Exception, name: str) -> Failure:
    text = str(error) if isinstance(error, RayrlError) else f"{type(error).__name__}: {error}"
    if not is_out_of_memory(error):
        return Failure(name=name, kind="error", error=text)
    advice = "it ran out of memory: lower pretrain.batch_size, or take a smaller architecture"
    return Failure(name=name, kind="out_of_memory", error=f"{text}\n  {advice}")


def _begin(folder: Path) -> None:
    """Makes a seed's folder ready: no policy is in it until the seed is done."""
    folder.mkdir(parents=True, exist_ok=True)
    forget_outcome(folder)
    with storage_errors(folder, "a pretrained policy's folder"):
        (folder / _SUMMARY).unlink(missing_ok=True)
        forget_failure(folder)
        remove_leftovers(folder)


class _Seed:
    """Pretrains one seed's policy."""

    def __init__(self, context: StageContext, name: str, seed: int, dataset: Path, folder: Path) -> None:
        self._context = context
        self._name = name
        self._seed = seed
        self._dataset = dataset
        self._folder = folder
        self._options = context.unit.options(context.folder.config) | {"seed": seed}
        self._inputs = {"demonstrations": open_dataset(dataset).sha256}

    def run(self) -> bool:
        """Pretrains to the end, or until asked to stop; whether the seed is done."""
        folder, log = self._folder, self._context.log
        reason = reason_to_run(folder, inputs=self._inputs, options=self._options)
        if reason is None:
            log.info("seed %d is done already", self._seed)
            return True
        _begin(folder)
        started = time.monotonic()
        if not open_dataset(self._dataset).num_steps:
            raise DataError(
                "the demonstrations hold no step: there is nothing to clone",
                where=str(self._dataset),
                remedy="raise collect.steps, or set conditions: [no_pretrain]",
            )
        algorithm = self._config(fit_all=False).build_algo()
        try:
            curve = self._start(algorithm)
            keep_faults(algorithm, folder / FAULTS_FOLDER)
            if not self._epochs(algorithm, curve):
                return False
            self._context.learned(algorithm)
            summary = self._summary(curve)
            summary["agreement"] = self._save(algorithm)
        finally:
            algorithm.stop()
        summary["ceiling_accuracy"] = self._ceiling()
        in_replays = self._context.experiment.collect.replays is not None
        summary["warnings"] = list(warnings_of(summary, in_replays=in_replays))
        for warning in summary["warnings"]:
            self._context.warn(f"seed {self._seed}: {warning}")
        summary["seconds"] = time.monotonic() - started
        write_json(folder / _SUMMARY, summary, "a summary of pretraining")
        write_manifest(
            folder,
            name=f"pretrain-{self._name}-seed_{self._seed}",
            inputs=self._inputs,
            options=self._options,
            outputs=_OUTPUTS,
        )
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        return True

    def _config(self, *, fit_all: bool) -> BCConfig:
        options = self._context.experiment.pretrain
        config = BCConfig().training(
            dataset=self._dataset,
            val_fraction=options.val_fraction,
            fit_all=fit_all,
            minibatch_size=options.batch_size,
            lr=options.lr,
            early_stop_patience=options.early_stop_patience,
            lr_schedule=options.lr_schedule,
            lr_final=options.lr_final,
            warmup_steps=options.warmup_steps,
            schedule_epochs=options.epochs,
            label_smoothing=options.label_smoothing,
            input_noise=options.input_noise,
            balance=options.balance,
            return_weight=options.return_weight,
            return_gamma=options.return_gamma,
        )
        action_space = open_dataset(self._dataset).spaces.action
        network = network_config(self._context.experiment, self._name, action_space)
        config.rl_module(model_config=network.model_dump())
        config.debugging(seed=self._seed, log_level="ERROR")
        return config

    def _start(self, algorithm: BC) -> list[dict[str, Any]]:
        """Goes on from the newest epoch of the same options, or begins; the curve so far."""
        checkpoint, identity = self._folder / "checkpoint", self._options | self._inputs
        if checkpoint.exists() and json.loads((checkpoint / "identity.json").read_text()) == identity:
            algorithm.restore_from_path(checkpoint)
            lines = (self._folder / "curve.jsonl").read_text().splitlines()
            return [json.loads(line) for line in lines[: algorithm.training_iteration]]
        if told := self._load_external(algorithm):
            self._context.log.info("starts from %s", told)
        return []

    def _load_external(self, algorithm: BC) -> str | None:
        """Gives the learners the weights of ``pretrain.from``; what was loaded, in words."""
        experiment = self._context.experiment
        weights = external_weights(experiment, open_dataset(self._dataset).spaces)
        if weights is None:
            return None
        patterns = experiment.pretrain.load
        reports = algorithm.learner_group.foreach_learner(
            lambda learner: weights.load_into(learner.policy.network, patterns)
        )
        return f"{weights.path}: {next(iter(reports)).get()}"

    def _epochs(self, algorithm: BC, curve: list[dict[str, Any]]) -> bool:
        context, epochs = self._context, self._context.experiment.pretrain.epochs
        seeds = context.experiment.seeds
        before = seeds.index(self._seed) * epochs
        while len(curve) < epochs:
            if context.stop_requested():
                return False
            result = algorithm.train()
            learner = result["learners"]["default_policy"]
            line: dict[str, Any] = {"epoch": len(curve) + 1}
            for key in ("train_loss", "val_loss", "train_accuracy", "val_accuracy"):
                if key in learner:
                    line[key] = float(learner[key])
            line["best_epoch"] = int(learner["best_epoch"])
            line["gradient_steps"] = int(learner["gradient_steps"])
            curve.append(line)
            text = "".join(json.dumps(entry) + "\n" for entry in curve)
            write_text(self._folder / "curve.jsonl", text, "a learning curve")
            with atomic_folder(self._folder / "checkpoint", "a checkpoint") as folder:
                algorithm.save_to_path(str(folder))
                (folder / "identity.json").write_text(json.dumps(self._options | self._inputs))
            shown = {name: value for name, value in line.items() if name in ("train_loss", "val_accuracy")}
            context.progress(before + len(curve), len(seeds) * epochs, "epochs", **shown)
            if result["early_stop"]:
                break
        return True

    def _summary(self, curve: list[dict[str, Any]]) -> dict[str, Any]:
        best = curve[curve[-1]["best_epoch"] - 1]
        return {
            "best_epoch": best["epoch"],
            "val_accuracy": best.get("val_accuracy"),
            "val_loss": best.get("val_loss"),
            "rows": open_dataset(self._dataset).num_steps,
        }

    def _save(self, algorithm: BC) -> dict[str, Any]:
        """Saves the best epoch's policy; what it agrees in with held-out demonstrations."""
        module = algorithm.learner_module()
        module.set_state(algorithm.best_weights())
        if bad := [name for name, value in module.network.state_dict().items() if not value.isfinite().all()]:
            raise TrainingError(
                f"the clone has weights that are not finite: {', '.join(bad[:3])}",
                where=str(self._folder),
                remedy="lower pretrain.lr; look at the demonstrations' observations",
            )
        save_policy(
            self._folder / "policy",
            module.network,
            architecture=self._name,
            provenance={
                "run": self._context.folder.record.run_id,
                "stage": "pretrain",
                "seed": self._seed,
                "demonstrations": self._inputs["demonstrations"],
            },
        )
        return held_out_agreements(
            module.network,
            self._dataset,
            val_fraction=self._context.experiment.pretrain.val_fraction,
            seed=self._seed,
        )

    def _ceiling(self) -> float | None:
        """Agreement on the held-out episodes of the same fit, had it seen them: what can be hoped for."""
        algorithm = self._config(fit_all=True).build_algo()
        try:
            self._load_external(algorithm)
            for _ in range(self._context.experiment.pretrain.epochs):
                learner = algorithm.train()["learners"]["default_policy"]
            value = learner.get("val_accuracy")
            return None if value is None else float(value)
        finally:
            algorithm.stop()


def take_over(context: StageContext, name: str, seed: int, folder: Path) -> None:
    """Saves the external policy as a seed's pretrained one, without cloning.

    Args:
        context: of the stage.
        name: the architecture.
        seed: draws what is not loaded, where only a part is.
        folder: the seed's folder.

    Raises:
        PolicyError: the weights do not fit.
    """
    experiment = context.experiment
    options = context.unit.options(context.folder.config) | {"seed": seed}
    if reason_to_run(folder, inputs={}, options=options) is None:
        context.log.info("seed %d is done already", seed)
        return
    _begin(folder)
    spaces = spaces_of(experiment.env)
    weights = external_weights(experiment, spaces)
    assert weights is not None  # skip_bc is refused without pretrain.from
    network, report = network_with(weights, experiment, name, spaces, seed=seed)
    context.log.info("takes over %s: %s", weights.path, report)
    save_policy(
        folder / "policy",
        network,
        architecture=name,
        provenance={
            "run": context.folder.record.run_id,
            "stage": "pretrain",
            "seed": seed,
            "from": weights.path.name,
        },
    )
    write_text(folder / "curve.jsonl", "", "a learning curve")
    write_json(folder / _SUMMARY, {"taken_over": True}, "a summary of pretraining")
    write_manifest(folder, name=f"pretrain-{name}-seed_{seed}", inputs={}, options=options, outputs=_OUTPUTS)
