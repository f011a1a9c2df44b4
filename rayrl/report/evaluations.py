"""Evaluations in the course of a trial: ``evaluations.jsonl``, one line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.evaluation.result import RETURN, SUCCESS


@dataclass(frozen=True, slots=True)
class TrainingEvaluation:
    """The policy of one step on the episodes on which every trial of the run is evaluated."""

    step: int
    """Environment steps of training before it; 0 is the start."""
    seeds: tuple[int, ...]
    """What each episode's environment was reset with."""
    returns: NDArray[np.float64]
    """(episodes,)."""
    successes: NDArray[np.float64] | None = None
    """(episodes,); None where the environment does not tell."""

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(self.returns.mean())


def read_evaluations(path: Path) -> tuple[tuple[TrainingEvaluation, ...], int]:
    """Reads a trial's evaluations by step, and how many lines could not be read.

    Args:
        path: the file; one that is not there has no lines.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found: dict[int, TrainingEvaluation] = {}
    damaged = 0
    for line in lines:
        try:
            value: dict[str, Any] = json.loads(line)
            metrics = {name: np.array(values, np.float64) for name, values in value["metrics"].items()}
            found[value["step"]] = TrainingEvaluation(
                int(value["step"]), tuple(value["seeds"]), metrics[RETURN], metrics.get(SUCCESS)
            )
        except (ValueError, KeyError, TypeError):
            damaged += 1
    return tuple(found[step] for step in sorted(found)), damaged


def curve_of(
    evaluations: Sequence[TrainingEvaluation],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean returns by step, each (len(evaluations),)."""
    steps = np.array([each.step for each in evaluations], np.float64)
    return steps, np.array([each.mean for each in evaluations], np.float64)


def success_curve_of(
    evaluations: Sequence[TrainingEvaluation],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of episodes that succeeded by step, (n,) each; of the evaluations that tell it."""
    told = [(each.step, each.successes) for each in evaluations if each.successes is not None]
    steps = np.array([step for step, _ in told], np.float64)
    return steps, np.array([np.nanmean(successes) for _, successes in told], np.float64)
