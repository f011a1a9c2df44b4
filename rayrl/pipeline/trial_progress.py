"""What a trial writes of each iteration: a line of ``progress.jsonl``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rayrl.algorithms.algorithm import REPLAY, REPLAY_SECONDS, SAMPLING_SECONDS, UPDATE_SECONDS
from rayrl.storage.atomic import storage_errors, write_text

PROGRESS_FILE = "progress.jsonl"
_SHOWN = ("episode_return_mean", "episode_len_mean", "success_rate")


def progress_line(result: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an iteration's result; a mean of no episodes is null, since JSON has no NaN."""
    # Before an algorithm that learns from replay has enough of it, its learners tell nothing.
    runners, learner = result["env_runners"], result.get("learners", {}).get("default_policy", {})
    sample, learn = float(runners["sample_seconds"]), float(learner.get("seconds", 0.0))
    line: dict[str, Any] = {
        "step": int(result["num_env_steps_sampled_lifetime"]),
        "iteration": int(result["training_iteration"]),
        "episode_return_mean": float(runners["episode_return_mean"]),
        "episode_len_mean": float(runners["episode_len_mean"]),
        "learner": {name: float(value) for name, value in learner.items()},
        "seconds": {
            "sample": sample,
            "learn": learn,
            # How much longer the algorithm waited than the slowest worker sampled, and the learners learned:
            # for orders, weights and batches on their way, or for processes that had no CPU.
            "rollout_wait": max(0.0, float(result["timers"][SAMPLING_SECONDS]) - sample),
            "learner_wait": max(0.0, float(result["timers"][UPDATE_SECONDS]) - learn),
            "total": float(result["time_this_iter_s"]),
        },
    }
    if "temperature" in result:
        line["temperature"] = {name: float(value) for name, value in result["temperature"].items()}
    if "stabilization_steps" in result:
        line["stabilization_steps"] = int(result["stabilization_steps"])
    if REPLAY in result:
        line["replay"] = {name: float(value) for name, value in result[REPLAY].items()}
        line["seconds"]["replay"] = float(result["timers"][REPLAY_SECONDS])
    if "success_rate" in runners:
        line["success_rate"] = float(runners["success_rate"])
    if "actions" in runners:
        line["actions"] = {name: float(share) for name, share in runners["actions"].items()}
    finite: dict[str, Any] = _without_nan(line)
    return finite


def shown_metrics(line: dict[str, Any]) -> dict[str, float]:
    """The metrics of an iteration's line that are worth showing beside a trial's state."""
    return {name: line[name] for name in _SHOWN if line.get(name) is not None}


def append_line(file: Path, line: dict[str, Any]) -> None:
    """Adds a line to a file of one JSON object a line.

    Raises:
        StorageError: the disk is full or not writable.
    """
    with storage_errors(file, "a trial's progress"), file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")


def cut_progress(file: Path, step: int) -> None:
    """Drops the lines after a checkpoint: those iterations are done again.

    Args:
        file: one JSON object a line; need not be there.
        step: environment steps at the checkpoint.

    Raises:
        StorageError: the disk is full or not writable.
    """
    if file.exists():
        kept = [line for line in _lines(file) if line["step"] <= step]
        write_text(file, "".join(json.dumps(line) + "\n" for line in kept), "a trial's progress")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(file: Path) -> list[dict[str, Any]]:
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            # A process that was killed may have left half a line.
            continue
    return lines
