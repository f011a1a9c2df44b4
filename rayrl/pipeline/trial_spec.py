"""What one trial trains: an architecture under a condition with a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayrl.pipeline.architecture_entry import entry_of
from rayrl.pipeline.experiment import Experiment, starts_from_policy
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.trial import trial_folder

_NOT_IDENTITY = (
    "total_steps",
    "gpus_per_learner",
    "cpus_per_learner",
    "cpus_per_env_runner",
    "resource_timeout_s",
    "checkpoint_every_s",
    "keep_checkpoints",
    "save_optimizer_state",
)
"""Options that may change between the parts of a trial: none of them alters what it learns."""
_WHERE_CHECKPOINTS_ARE = ("chunks", "checkpoint_every_iterations", "reset_on_checkpoint")
"""Options that do so only where episodes begin anew with each checkpoint."""
WARM_OPTIONS = ("kl_ref", "critic_warmup_updates")
"""Options of the algorithm for trials that start from a policy; the others do without."""
_LEFT_OUT = {"no_pretrain": WARM_OPTIONS, "with_pretrain_no_kl": ("kl_ref",)}
"""Options of the algorithm that trials under a condition do without."""
_EVALUATED = ("evaluate_every", "evaluate_episodes")
"""Options that say when a trial is evaluated in the course of training: where it is not, none matters."""
_EPISODES = ("seed", "env_config", "max_steps")
"""Options of the evaluation that name the episodes which it then plays."""
_NOT_IDENTITY_OF_REPLAY = (
    "save_replay_buffer",
    "replay_buffer_save_path",
    "replay_in_checkpoint",
    "replay_after_restore",
    "cpus_per_replay_shard",
    "durability",
    "spool_path",
    "hot_bytes",
)
"""The same of ``train.replay``."""


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial.

    Args:
        architecture: the name of an architecture of the experiment.
        condition: ``no_pretrain``, ``with_pretrain`` or ``with_pretrain_no_kl``.
        seed: of environments, networks and minibatches.
    """

    architecture: str
    condition: str
    seed: int

    @property
    def name(self) -> str:
        """Names the trial in Tune, logs and errors."""
        return f"{self.architecture}-{self.condition}-seed_{self.seed}"

    def folder(self, run: RunFolder) -> Path:
        """Where its checkpoints, policy and state are."""
        return trial_folder(run, self.architecture, self.condition, self.seed)

    def starting_policy(self, run: RunFolder) -> Path | None:
        """The policy folder that it starts from; None for a fresh network."""
        if not starts_from_policy(self.condition):
            return None
        return pretrain_folder(run, self.architecture, self.seed) / "policy"

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the algorithm's options that have a meaning for this trial."""
        left_out = _LEFT_OUT.get(self.condition, ())
        return {name: value for name, value in options.items() if name not in left_out}

    def identity(self, config: dict[str, Any]) -> dict[str, Any]:
        """What decides its course: with another one, its checkpoints are of no use.

        Args:
            config: the experiment as plain JSON values.
        """
        left_out = {*_NOT_IDENTITY}
        if not config["train"].get("reset_on_checkpoint"):
            left_out.update(_WHERE_CHECKPOINTS_ARE)
        train = {name: value for name, value in config["train"].items() if name not in left_out}
        train["options"] = self.options(train["options"])
        if train.get("evaluate_every") is None:
            train = {name: value for name, value in train.items() if name not in _EVALUATED}
        else:
            train["evaluated"] = {name: config["evaluate"][name] for name in _EPISODES}
        if "replay" in train:
            kept = train["replay"].items()
            train["replay"] = {name: value for name, value in kept if name not in _NOT_IDENTITY_OF_REPLAY}
        identity = {"env": config["env"], "train": train}
        entry = entry_of(config, self.architecture)
        return identity if isinstance(entry, str) else identity | {"architecture": entry}


def trials_of(experiment: Experiment) -> Iterator[TrialSpec]:
    """All trials, seed by seed, so that the first results compare conditions."""
    for seed in experiment.seeds:
        for name in experiment.architectures:
            for condition in experiment.conditions:
                yield TrialSpec(name, condition, seed)


def pretrain_folder(run: RunFolder, architecture: str, seed: int) -> Path:
    """Where a seed's pretrained policy is."""
    return run.path / architecture / "pretrain" / f"seed_{seed}"
