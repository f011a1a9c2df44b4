"""The pretrain stage of one architecture: one policy per seed, by behaviour cloning.

<architecture>/pretrain/seed_<n>/
    checkpoint/     the newest epoch, until the seed is done
    curve.jsonl     one line an epoch
    summary.json    agreement with held-out demonstrations, and its ceiling
    policy/         the epoch that did best on held-out demonstrations
    manifest.json   written last: the seed is done
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from rayrl.algorithms.bc import BC, BCConfig
from rayrl.experience.dataset import open_dataset
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.models.weights import load_weights
from rayrl.pipeline.collect_stage import demonstrations_folder
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.trial_spec import network_config, pretrain_folder
from rayrl.storage.atomic import atomic_folder, remove_leftovers, write_json, write_text
from rayrl.storage.manifest import reason_to_run, write_manifest

_OUTPUTS = ("policy/policy.json", "policy/weights.safetensors", "curve.jsonl", "summary.json")


def run(context: StageContext) -> StageOutputs | None:
    """Pretrains every seed that is not done.

    Raises:
        PolicyError: the policy to start from does not fit the architecture.
        IntegrityError: the demonstrations are damaged.
    """
    name = context.unit.architecture
    assert name is not None
    dataset = demonstrations_folder(context.folder)
    open_dataset(dataset).verify()
    files: list[Path] = []
    for seed in context.experiment.seeds:
        folder = pretrain_folder(context.folder, name, seed)
        if not _Seed(context, name, seed, dataset, folder).run():
            return None
        files += [folder / output for output in _OUTPUTS]
    return StageOutputs(tuple(files))


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
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)
        remove_leftovers(folder)
        started = time.monotonic()
        algorithm = self._config(fit_all=False).build_algo()
        try:
            curve = self._start(algorithm)
            if not self._epochs(algorithm, curve):
                return False
            summary = self._summary(algorithm, curve)
            self._save(algorithm)
        finally:
            algorithm.stop()
        summary["ceiling_accuracy"] = self._ceiling()
        summary["seconds"] = time.monotonic() - started
        write_json(folder / "summary.json", summary, "a summary of pretraining")
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
        if (start := self._context.experiment.pretrain.from_) is not None:
            policy = load_policy(start)
            state = {name: tensor.numpy(force=True) for name, tensor in policy.network.state_dict().items()}
            report = algorithm.learner_group.foreach_learner(
                lambda learner: load_weights(learner.policy.network, state, where=str(start))
            )
            self._context.log.info("starts from %s: %s", start, next(iter(report)).get())
        return []

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

    def _summary(self, algorithm: BC, curve: list[dict[str, Any]]) -> dict[str, Any]:
        best = curve[curve[-1]["best_epoch"] - 1]
        return {
            "best_epoch": best["epoch"],
            "val_accuracy": best.get("val_accuracy"),
            "val_loss": best.get("val_loss"),
            "rows": open_dataset(self._dataset).num_steps,
        }

    def _save(self, algorithm: BC) -> None:
        module = algorithm.learner_module()
        module.set_state(algorithm.best_weights())
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

    def _ceiling(self) -> float | None:
        """Agreement on the held-out episodes of the same fit, had it seen them: what can be hoped for."""
        algorithm = self._config(fit_all=True).build_algo()
        try:
            for _ in range(self._context.experiment.pretrain.epochs):
                learner = algorithm.train()["learners"]["default_policy"]
            value = learner.get("val_accuracy")
            return None if value is None else float(value)
        finally:
            algorithm.stop()
