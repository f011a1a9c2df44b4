"""Several runs side by side: who trained and was evaluated in each, under names that tell them apart."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rayrl.errors import ConfigError
from rayrl.evaluation.comparison import on_common_episodes
from rayrl.report.groups import Group, groups_of
from rayrl.report.outcomes import (
    Kind,
    Outcome,
    Outcomes,
    candidates_of,
    categories_of_rows,
    pair_outcomes,
    within_category,
)
from rayrl.report.run_data import RANDOM, RunData
from rayrl.report.run_reader import read_run
from rayrl.storage.hashing import sha256_json

_LETTERS = string.ascii_uppercase


@dataclass(frozen=True, slots=True)
class SeveralRuns:
    """Runs, each under a letter; the first is what the others are held against."""

    runs: tuple[RunData, ...]

    @property
    def letters(self) -> Sequence[str]:
        """The runs' names in text and figures."""
        return _LETTERS[: len(self.runs)]

    @property
    def lettered(self) -> list[tuple[str, RunData]]:
        """The runs with their letters."""
        return list(zip(self.letters, self.runs, strict=True))

    def groups(self) -> list[Group]:
        """What was trained in the runs, one run after the other."""
        return [group for groups in self.groups_by_run() for group in groups]

    def groups_by_run(self) -> list[list[Group]]:
        """What was trained in each run; ``A cold``, ``B cold``, …, each with a style of its own."""
        styles = itertools.count()
        return [
            [
                replace(group, label=f"{letter} {group.label}", style=next(styles))
                for group in groups_of(run, several_architectures=self._several_architectures)
            ]
            for letter, run in self.lettered
        ]

    def categories(self) -> list[str]:
        """The categories in which anyone was evaluated, besides the environment as trained."""
        return categories_of_rows([row for run in self.runs for row in self._candidates(run)])

    def outcomes(self, category: str) -> Outcomes:
        """Who was evaluated on the same episodes as the first run's first, cut down to those all have.

        Demonstrators that did the same in all runs stand there once, without a letter.
        """
        rows = list(self._named(_on_common_episodes(self._rows(category))))
        labels = {row.label for row in rows}
        first = self.letters[0]

        def named(name: str | None) -> str | None:
            return next((label for label in (name, f"{first} {name}") if label in labels), None)

        return pair_outcomes(rows, reference=named(self.runs[0].reference), random=named(RANDOM))

    def _candidates(self, run: RunData) -> Iterable[Outcome]:
        return candidates_of(run, several_architectures=self._several_architectures)

    def _rows(self, category: str) -> list[tuple[str, Outcome]]:
        """All that was evaluated in a category, by the run's letter."""
        return [
            (letter, row)
            for letter, run in self.lettered
            for row in within_category(self._candidates(run), category)
        ]

    def _named(self, rows: Sequence[tuple[str, Outcome]]) -> Iterator[Outcome]:
        """Trained and cloned policies of all runs, then the demonstrators; each has a style of its own."""
        programs: dict[str, set[str]] = {}
        for _, row in rows:
            if row.kind is Kind.demonstrator:
                programs.setdefault(row.label, set()).add(_played(row))
        seen: set[str] = set()
        for letter, row in sorted(rows, key=lambda item: item[1].kind is Kind.demonstrator):
            alike = row.kind is Kind.demonstrator and len(programs[row.label]) == 1
            label = row.label if alike else f"{letter} {row.label}"
            if label not in seen:
                yield replace(row, label=label, style=len(seen))
                seen.add(label)

    @property
    def _several_architectures(self) -> bool:
        return len({name for run in self.runs for name in run.experiment.architectures}) > 1


def read_several_runs(paths: Sequence[Path]) -> SeveralRuns:
    """Reads the runs that are to be compared.

    Raises:
        ConfigError: a run is named twice, or there are more than there are letters.
        RunError: a folder holds no run.
        IntegrityError: a ``config.json`` is damaged.
    """
    places = [path.resolve() for path in paths]
    if twice := {str(place) for place in places if places.count(place) > 1}:
        raise ConfigError(f"{', '.join(sorted(twice))} is named twice", where="report")
    if len(paths) > len(_LETTERS):
        raise ConfigError(f"{len(paths)} runs: at most {len(_LETTERS)} can be compared", where="report")
    return SeveralRuns(tuple(read_run(path) for path in paths))


def _on_common_episodes(rows: Sequence[tuple[str, Outcome]]) -> list[tuple[str, Outcome]]:
    """The rows, cut down to the episodes that all have who played in the first one's environment."""
    results = iter(on_common_episodes([result for _, row in rows for result in row.results]))
    return [
        (letter, replace(row, results=tuple(itertools.islice(results, len(row.results)))))
        for letter, row in rows
    ]


def _played(row: Outcome) -> str:
    """What was played and how it went, to tell whether two runs found the same."""
    (result,) = row.results
    return sha256_json(result.model_dump(mode="json", include={"env", "seeds", "category", "metrics"}))
