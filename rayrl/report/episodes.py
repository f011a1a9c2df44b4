"""``episodes.csv``: every evaluated episode of every policy and demonstrator, a row each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from rayrl.evaluation.result import EvaluationResult
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.run_data import RunData

FILE = "episodes.csv"
_WHO = ("kind", "name", "architecture", "condition", "seed")
_WHICH = ("category", "level", "episode_seed")
_RAISED = "raised"
"""What an episode raised; that it did is the metric ``error``."""

Who = tuple[str, str, str | None, str | None, int | None]
"""As ``_WHO`` names them; a demonstrator has a kind and a name alone."""


def episodes_csv(run: RunData) -> str:
    """The text of the file: who, which episode, every metric by name, what was raised; unknown is empty.

    Rows of the same category and episode seed are of the same episode, whoever played it.
    """
    evaluated = [(who, result) for who, result in _evaluated(run) if result is not None]
    metrics = list(dict.fromkeys(name for _, result in evaluated for name in result.metrics))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*_WHO, *_WHICH, *metrics, _RAISED])
    for who, result in evaluated:
        for i, seed in enumerate(result.seeds):
            values = [result.metrics[name][i] if name in result.metrics else None for name in metrics]
            category = result.category[i] if result.category else AS_TRAINED
            level = result.levels[i] if result.levels else None
            raised = result.errors[i] if result.errors else None
            rows.writerow([*who, category, level, seed, *values, raised])
    return text.getvalue()


def _evaluated(run: RunData) -> Iterator[tuple[Who, EvaluationResult | None]]:
    """Everyone with their results: trials, pretrained policies, demonstrators."""
    for trial in run.trials:
        who = ("trained", trial.name, trial.architecture, trial.condition, trial.seed)
        yield who, trial.evaluation
    for policy in run.pretraining:
        yield ("pretrained", policy.name, policy.architecture, None, policy.seed), policy.evaluation
    for name, result in run.demonstrators.items():
        yield ("demonstrator", name, None, None, None), result
