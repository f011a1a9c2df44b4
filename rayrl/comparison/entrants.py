"""Who is compared: the trials of each architecture and condition that were evaluated on the same episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rayrl.comparison.aggregates import Scores
from rayrl.comparison.measure import Measure, same_episodes
from rayrl.evaluation.statistics import FEWEST_RUNS
from rayrl.report.groups import Group, groups_of
from rayrl.report.run_data import RunData, Trial


@dataclass(frozen=True, slots=True)
class Entrant:
    """The trials of an architecture under a condition, as far as they can be compared."""

    group: Group
    trials: tuple[Trial, ...]
    """N of them, one for each training seed that counts."""
    scores: Scores
    """``(N, M)``, runs × tasks."""

    @property
    def label(self) -> str:
        """Its name in text and figures."""
        return self.group.label

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds that count."""
        return tuple(trial.seed for trial in self.trials)

    @property
    def has_statistics(self) -> bool:
        """Whether its seeds are enough for statistics over them."""
        return len(self.trials) >= FEWEST_RUNS

    @property
    def left_out(self) -> tuple[int, ...]:
        """The seeds without results, or with results of other episodes."""
        return tuple(trial.seed for trial in self.group.trials if trial.seed not in self.seeds)


def entrants_of(run: RunData, measure: Measure) -> list[Entrant]:
    """The groups of a run that have any trial to compare, in the order of the experiment."""
    first: Trial | None = None
    found = []
    for group in groups_of(run):
        counted = []
        for trial in group.trials:
            scores = measure.scores(trial)
            if scores is None or not np.isfinite(scores).all():
                continue
            first = first or trial
            if same_episodes(first, trial, measure.tasks):
                counted.append((trial, scores))
        if counted:
            trials, rows = zip(*counted, strict=True)
            found.append(Entrant(group, trials, np.stack(rows)))
    return found
