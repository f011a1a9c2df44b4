"""One seed's pretraining: a policy by behaviour cloning, or as it was given.

<architecture>/pretrain/seed_<n>/
    checkpoint/     the newest epoch, until the seed is done
    curve.jsonl     one line an epoch
    faults/         a batch that it could not learn from, where there was one
    resources.json  the most memory that it took
    summary.json    agreement with held-out demonstrations, its ceiling, and what to change
    policy/         the epoch that did best on held-out demonstrations
    manifest.json   written last: the seed is done
    failure.json    why the seed yields no policy, until it is tried again
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from rayrl.algorithms.bc import BC, BCConfig
from rayrl.errors import DataError, TrainingError
from rayrl.experience.dataset import open_dataset
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline.cloning_quality import held_out_agreements, warnings_of
from rayrl.pipeline.collect_stage import demonstrations_folder
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.external_policy import external_weights, network_with
from rayrl.pipeline.failure import forget_failure
from rayrl.pipeline.learner_folders import keep_faults
from rayrl.pipeline.trial_config import network_config
from rayrl.pipeline.trial_outcome import FAULTS_FOLDER, forget_outcome
from rayrl.pipeline.trial_resources import RESOURCES_FILE, MemoryWatch
from rayrl.pipeline.trial_spec import pretrain_folder
from rayrl.rollout.demo_plan import spaces_of
from rayrl.storage.atomic import (
    atomic_folder,
    read_json,
    remove_leftovers,
    storage_errors,
    write_json,
    write_text,
)
from rayrl.storage.manifest import reason_to_run, write_manifest

_SUMMARY = "summary.json"
_SECONDS = "seconds.json"
OUTPUTS = ("policy/policy.json", "policy/weights.safetensors", "curve.jsonl", _SUMMARY)
"""Of a seed that is done, relative to its folder."""


class SeedCloning:
    """Clones the demonstrations into one seed's policy.

    Args:
        context: of the stage, which says whether to stop and is told how far it is.
        seed: of the network, the order of minibatches and what is held out.
    """

    def __init__(self, context: StageContext, seed: int) -> None:
        name = context.unit.architecture
        assert name is not None
        dataset = demonstrations_folder(context.folder)
        self._context = context
        self._name = name
        self._seed = seed
        self._dataset = dataset
        self._folder = pretrain_folder(context.folder, name, seed)
        self._options = context.unit.options(context.folder.config) | {"seed": seed}
        self._inputs = {"demonstrations": open_dataset(dataset).sha256}
        self._started = time.monotonic()
        self._spent_before = 0.0

    @property
    def is_done(self) -> bool:
        """Whether the policy is there, of the same demonstrations and options."""
        return reason_to_run(self._folder, inputs=self._inputs, options=self._options) is None

    def run(self) -> bool:
        """Clones to the end, or until asked to stop; whether the seed is done.

        Raises:
            DataError: there is nothing to clone.
            TrainingError: the clone is not finite.
            RayrlError: it failed otherwise.
        """
        _begin(self._folder)
        if not self._is_of_this_course:
            (self._folder / RESOURCES_FILE).unlink(missing_ok=True)
        with MemoryWatch(self._folder):
            return self._run()

    def _run(self) -> bool:
        folder = self._folder
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
            # What follows is to judge it by, and no part of what it costs.
            summary["seconds"] = self._seconds
        finally:
            algorithm.stop()
        summary["ceiling_accuracy"] = self._ceiling()
        in_replays = self._context.experiment.collect.replays is not None
        summary["warnings"] = list(warnings_of(summary, in_replays=in_replays))
        for warning in summary["warnings"]:
            self._context.warn(f"seed {self._seed}: {warning}")
        write_json(folder / _SUMMARY, summary, "a summary of pretraining")
        write_manifest(
            folder,
            name=f"pretrain-{self._name}-seed_{self._seed}",
            inputs=self._inputs,
            options=self._options,
            outputs=OUTPUTS,
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

    @property
    def _seconds(self) -> float:
        """What it has taken so far, without what was lost with a process."""
        return self._spent_before + time.monotonic() - self._started

    @property
    def _is_of_this_course(self) -> bool:
        """Whether there is a checkpoint, of the same demonstrations and options."""
        file = self._folder / "checkpoint" / "identity.json"
        return file.exists() and bool(json.loads(file.read_text()) == self._options | self._inputs)

    def _start(self, algorithm: BC) -> list[dict[str, Any]]:
        """Goes on from the newest epoch of the same options, or begins; the curve so far."""
        if self._is_of_this_course:
            checkpoint = self._folder / "checkpoint"
            algorithm.restore_from_path(checkpoint)
            self._spent_before = float(read_json(checkpoint / _SECONDS, "what pretraining took"))
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
                (folder / _SECONDS).write_text(json.dumps(self._seconds))
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


def take_over(context: StageContext, seed: int) -> None:
    """Saves the external policy as a seed's pretrained one, without cloning.

    Args:
        context: of the stage.
        seed: draws what is not loaded, where only a part is.

    Raises:
        PolicyError: the weights do not fit.
    """
    experiment, name = context.experiment, context.unit.architecture
    assert name is not None
    folder = pretrain_folder(context.folder, name, seed)
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
    write_manifest(folder, name=f"pretrain-{name}-seed_{seed}", inputs={}, options=options, outputs=OUTPUTS)


def _begin(folder: Path) -> None:
    """Makes a seed's folder ready: no policy is in it until the seed is done."""
    folder.mkdir(parents=True, exist_ok=True)
    forget_outcome(folder)
    with storage_errors(folder, "a pretrained policy's folder"):
        (folder / _SUMMARY).unlink(missing_ok=True)
        forget_failure(folder)
        remove_leftovers(folder)
