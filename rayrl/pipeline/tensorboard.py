"""What a trial tells TensorBoard, in its ``tensorboard`` folder.

train/…              numbers of each iteration: returns, ``train/learner/…`` losses, shares of the actions
time/…               seconds of each iteration: sampling, learning, and waiting for either
eval/<category>/…    means over the episodes of the evaluation, at the trial's last step
HPARAMS              run, architecture, condition, seed and every option that decides the trial's course
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from rayrl.evaluation.result import EvaluationResult
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.pipeline.trial_spec import TrialSpec
from rayrl.storage.atomic import storage_errors

FOLDER = "tensorboard"
_EVALUATION_SUFFIX = ".eval"
_COMPARED = ("train/episode_return_mean", f"eval/{AS_TRAINED}/episode_return")
"""What the HPARAMS view shows of each trial beside its options."""


def open_board(trial: Path, *, after_step: int) -> SummaryWriter:
    """A writer of the trial's own; what stands there of later steps does not count any more."""
    return SummaryWriter(str(trial / FOLDER), purge_step=after_step + 1)


def write_hparams(board: SummaryWriter, run: str, spec: TrialSpec, options: Mapping[str, Any]) -> None:
    """Tells the HPARAMS view what the trial is.

    Args:
        board: the trial's writer.
        run: the run's id.
        spec: the trial.
        options: the options that decide its course, nested, as plain JSON values.
    """
    values = {"run": run, "architecture": spec.architecture, "condition": spec.condition, "seed": spec.seed}
    for summary in hparams(values | dict(_leaves(options)), dict.fromkeys(_COMPARED)):
        board.file_writer.add_summary(summary)


def write_iteration(board: SummaryWriter, line: Mapping[str, Any]) -> None:
    """Adds the numbers of one iteration.

    Args:
        board: the trial's writer.
        line: as ``progress.jsonl`` has it.
    """
    for name, value in _scalars(line, "train"):
        board.add_scalar(name, value, line["step"])


def write_evaluation(trial: Path, step: int, results: Mapping[str, EvaluationResult]) -> None:
    """Replaces the evaluation's numbers.

    Args:
        trial: the trial's folder.
        step: at which the policy was evaluated.
        results: by category.

    Raises:
        StorageError: the disk is full or not writable.
    """
    folder = trial / FOLDER
    with storage_errors(folder, "the evaluation for TensorBoard"):
        for earlier in folder.glob(f"*{_EVALUATION_SUFFIX}"):
            earlier.unlink()
        with SummaryWriter(str(folder), filename_suffix=_EVALUATION_SUFFIX) as board:
            for category, result in results.items():
                for metric, summary in result.summary().items():
                    if summary.mean is not None:
                        board.add_scalar(f"eval/{category}/{metric}", summary.mean, step)


def _scalars(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _scalars(value, "time" if name == "seconds" else f"{prefix}/{name}")
        elif value is not None and name != "step":
            yield f"{prefix}/{name}", value


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value) if isinstance(value, list) else value
