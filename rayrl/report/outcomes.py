"""Who was evaluated in a run: trained policies, cloned policies, demonstrators, each by one row of numbers.

Numbers of a condition are means over its training seeds, episode by episode. Their intervals are over
episodes: they tell how well these policies are known, not how another training would turn out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.evaluation.comparison import are_paired, normalized_score_of, paired_values, share_weighted
from rayrl.evaluation.result import RETURN, EvaluationResult
from rayrl.evaluation.statistics import Estimate, mean_over_episodes
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.run_data import COLD, FREE, RANDOM, WARM, RunData, of_category
from rayrl.report.text import capitalized

_NAMES = {COLD: "cold", WARM: "warm", FREE: "warm without KL"}


class Kind(Enum):
    """What acted."""

    trained = "trained"
    cloned = "cloned"
    demonstrator = "demonstrator"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The evaluation of a demonstrator, or of one policy per training seed."""

    label: str
    kind: Kind
    style: int
    """Index of the colour, dash and marker that stand for it in every figure."""
    results: tuple[EvaluationResult, ...]
    """At least one; all of the same episodes."""

    def values(self, metric: str) -> NDArray[np.float64]:
        """One number per episode, the mean over seeds, (episodes,).

        Raises:
            DataError: the metric is not known of all seeds.
        """
        values: NDArray[np.float64] = paired_values(self.results, metric).mean(axis=0)
        return values

    def has(self, metric: str) -> bool:
        """Whether the metric is known of all seeds."""
        return all(metric in result.metrics for result in self.results)

    def mean(self, metric: str) -> Estimate:
        """The mean over episodes."""
        return mean_over_episodes(self.values(metric))

    def difference(self, other: Outcome, metric: str) -> Estimate:
        """The mean of this minus the other over the same episodes."""
        return mean_over_episodes(self.values(metric) - other.values(metric))

    def seed_means(self, metric: str) -> list[float]:
        """The mean over episodes of each seed's policy."""
        return [float(np.nanmean(result.values(metric))) for result in self.results]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """All outcomes of a run that are of the same episodes."""

    rows: tuple[Outcome, ...]
    """Trained policies by condition, cloned ones, demonstrators; random actions last."""
    unpaired: tuple[Outcome, ...]
    """What was evaluated on other episodes, and cannot be compared."""
    reference: Outcome | None
    random: Outcome | None

    def of(self, kind: Kind) -> list[Outcome]:
        """Those of one kind."""
        return [row for row in self.rows if row.kind is kind]

    def score(self, outcome: Outcome) -> Estimate | None:
        """0 for random actions, 1 for the reference; None where the two give no scale."""
        if self.reference is None or self.random is None:
            return None
        try:
            return normalized_score_of(
                *(row.values(RETURN) for row in (outcome, self.random, self.reference))
            )
        except DataError:
            return None

    def mixed_score(self, shares: Mapping[str, float]) -> float | None:
        """The share-weighted score of a mix of demonstrators; None where one of them has none."""
        scores = {row.label: self.score(row) for row in self.of(Kind.demonstrator)}
        known = {name: score.value for name, score in scores.items() if score and score.value is not None}
        return share_weighted(known, shares) if shares and shares.keys() <= known.keys() else None


def condition_name(condition: str) -> str:
    """A condition as texts and tables call it: ``cold`` or ``warm``."""
    return _NAMES.get(condition, condition)


def condition_label(
    run: RunData, architecture: str, condition: str, *, several_architectures: bool | None = None
) -> str:
    """``cold`` or ``warm``, after the architecture where there are several."""
    name = condition_name(condition)
    if several_architectures is None:
        several_architectures = len(run.experiment.architectures) > 1
    return f"{architecture}, {name}" if several_architectures else name


def at_beginning(label: str) -> str:
    """A label at the beginning of a sentence: a name of an architecture stays as it is written."""
    return label if "," in label else capitalized(label)


def condition_style(run: RunData, architecture: str, condition: str) -> int:
    """Index of the style that stands for a condition in every figure."""
    experiment = run.experiment
    position = experiment.architectures.index(architecture) * len(experiment.conditions)
    return position + experiment.conditions.index(condition)


def categories_in(run: RunData) -> list[str]:
    """The categories in which anyone was evaluated, in their order, without the environment as trained."""
    return categories_of_rows(candidates_of(run))


def categories_of_rows(rows: Iterable[Outcome]) -> list[str]:
    """As ``categories_in``, of all that was evaluated."""
    results = [result for row in rows for result in row.results]
    names = dict.fromkeys(name for result in results for name in result.categories)
    return [name for name in names if name != AS_TRAINED]


def outcomes_of(run: RunData, category: str = AS_TRAINED, *, drawn: bool = False) -> Outcomes:
    """Collects what was evaluated; results of other episodes than the first ones are left out and named.

    Args:
        run: the run.
        category: whose episodes to take.
        drawn: of policies whose actions were drawn, without demonstrators.
    """
    found = within_category(candidates_of(run, drawn=drawn), category)
    return pair_outcomes(found, reference=run.reference, random=RANDOM)


def pair_outcomes(found: Sequence[Outcome], *, reference: str | None, random: str | None) -> Outcomes:
    """Takes those that are of the same episodes as the first.

    Args:
        found: all that was evaluated in a category.
        reference: the demonstrator that scores 1.
        random: the one that scores 0.
    """
    rows = [row for row in found if are_paired([found[0].results[0], *row.results])]
    by_label = {row.label: row for row in rows if row.kind is Kind.demonstrator}
    return Outcomes(
        rows=tuple(rows),
        unpaired=tuple(row for row in found if row not in rows),
        reference=by_label.get(reference or ""),
        random=by_label.get(random or ""),
    )


def within_category(rows: Iterable[Outcome], category: str) -> list[Outcome]:
    """The rows' episodes of one category; only rows that have any."""
    found = []
    for row in rows:
        results = (of_category(result, category) for result in row.results)
        found.append(replace(row, results=tuple(result for result in results if result is not None)))
    return [row for row in found if row.results]


def candidates_of(
    run: RunData, *, several_architectures: bool | None = None, drawn: bool = False
) -> Iterable[Outcome]:
    """All that was evaluated in a run, whatever the episodes; rows without results among it.

    Args:
        run: the run.
        several_architectures: whether labels name the architecture; by default where the run has several.
        drawn: of policies whose actions were drawn, without demonstrators.
    """
    experiment = run.experiment
    for architecture in experiment.architectures:
        for condition in experiment.conditions:
            results = [
                trial.drawn if drawn else trial.evaluation
                for trial in run.trials
                if (trial.architecture, trial.condition) == (architecture, condition)
            ]
            yield Outcome(
                label=condition_label(
                    run, architecture, condition, several_architectures=several_architectures
                ),
                kind=Kind.trained,
                style=condition_style(run, architecture, condition),
                results=tuple(result for result in results if result is not None),
            )
    style = len(experiment.architectures) * len(experiment.conditions)
    for architecture in experiment.architectures:
        results = [
            p.drawn if drawn else p.evaluation for p in run.pretraining if p.architecture == architecture
        ]
        yield Outcome(
            label=condition_label(run, architecture, "cloned", several_architectures=several_architectures),
            kind=Kind.cloned,
            style=style,
            results=tuple(result for result in results if result is not None),
        )
        style += 1
    demonstrators = {} if drawn else run.demonstrators
    for name, result in sorted(demonstrators.items(), key=lambda item: item[0] == RANDOM):
        yield Outcome(label=name, kind=Kind.demonstrator, style=style, results=(result,))
        style += 1
