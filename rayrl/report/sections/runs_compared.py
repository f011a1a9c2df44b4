"""What several runs differ in, in words: the options that differ, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np

from rayrl.evaluation.comparison import are_paired, on_common_episodes
from rayrl.evaluation.result import RETURN
from rayrl.evaluation.statistics import Estimate, mean_over_runs
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.figures.chart import IntervalChart, IntervalRow
from rayrl.report.groups import Group
from rayrl.report.html import Html, element, join, table
from rayrl.report.outcomes import Outcome, Outcomes
from rayrl.report.run_data import Trial
from rayrl.report.sections.registry import Block
from rayrl.report.sections.setup import leaves
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import NOTHING, count, interval, signed
from rayrl.report.warm_start import curve_difference


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """One paragraph for each condition of each run beside that of the first, then the options that differ."""
    outcomes = comparison.outcomes(AS_TRAINED)
    first, *others = comparison.groups_by_run()
    pairs = [
        (base, group)
        for base in first
        for groups in others
        for group in groups
        if (base.architecture, base.condition) == (group.architecture, group.condition)
    ]
    findings = [_finding(outcomes, base, other) for base, other in pairs]
    if not findings:
        findings = [
            element("p", "No other run trained an architecture under a condition that the first did as well.")
        ]
    rows = list(_differences(outcomes, pairs))
    charts: list[Block] = [_chart(rows)] if rows else []
    return [element("div", *findings, class_="findings"), *charts, *options_that_differ(comparison)]


def options_that_differ(comparison: SeveralRuns) -> Iterator[Block]:
    """A table with a row for each option that is not the same in all runs."""
    options = [
        {path: json.dumps(value, ensure_ascii=False) for path, value in leaves(run.config)}
        for run in comparison.runs
    ]
    names = dict.fromkeys(name for of_run in options for name in of_run)
    rows = [[name, *(of_run.get(name, NOTHING) for of_run in options)] for name in names]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    yield element("h3", "Options that differ")
    if differing:
        header = ["option", *comparison.letters]
        yield table(header, differing, text_columns=len(header))
    else:
        yield element("p", f"None: all {count(len(rows), 'option')} are the same in all runs.")


def _row(outcomes: Outcomes, group: Group) -> Outcome | None:
    return next((row for row in outcomes.rows if row.label == group.label), None)


def _differences(
    outcomes: Outcomes, pairs: Sequence[tuple[Group, Group]]
) -> Iterator[tuple[Group, Group, Estimate]]:
    """Over episodes, of those that were evaluated on the same."""
    for base, other in pairs:
        of_base, of_other = _row(outcomes, base), _row(outcomes, other)
        if of_base is not None and of_other is not None:
            yield base, other, of_other.difference(of_base, RETURN)


def _chart(rows: Sequence[tuple[Group, Group, Estimate]]) -> IntervalChart:
    return IntervalChart(
        name="runs_compared",
        title="Difference in return to the first run",
        description="Mean difference of each condition's return to the first run's, over the same episodes.",
        x_label="Difference in return, same episodes",
        rows=[
            IntervalRow(label=f"{other.label} − {base.label}", estimate=difference, style=other.style)
            for base, other, difference in rows
        ],
        origin=0.0,
    )


def _finding(outcomes: Outcomes, base: Group, other: Group) -> Html:
    """What the second group's policies return more or less, over episodes and over seeds, and in training."""
    by_seed = list(_shared_seeds(base, other))
    final = mean_over_runs([*_return_differences(by_seed)])
    training = mean_over_runs([curve_difference(b.curve, a.curve) for a, b in by_seed])
    sentences = []
    for _, _, difference in _differences(outcomes, [(base, other)]):
        sentences.append(
            f"Over the same episodes, {other.label} policies return {signed(difference)} against "
            f"{base.label} ones (95 % interval {interval(difference)})."
        )
    if final.value is not None:
        sentences.append(_over_seeds("Seed by seed, the difference is", final))
    if training.value is not None:
        sentences.append(_over_seeds("While training, at equal steps, the difference is", training))
    if not sentences:
        sentences = ["They were not evaluated on the same episodes, and share no training steps."]
    head = f"{other.label} against {base.label}: {_verdict(final)}"
    return element("p", join([element("strong", head), " ", " ".join(sentences)]))


def _verdict(final: Estimate) -> str:
    """Of the difference over seeds, since only that tells how another training would turn out."""
    if final.value is None:
        return "no pair of policies was evaluated on the same episodes."
    if final.low is None:
        return "one seed cannot tell the runs apart."
    return {1: "better.", 0: "no difference is shown.", -1: "worse."}[final.sign]


def _over_seeds(beginning: str, estimate: Estimate) -> str:
    sure = f"95 % interval {interval(estimate)}, " if estimate.low is not None else ""
    return f"{beginning} {signed(estimate)} ({sure}{count(estimate.n, 'shared seed')})."


def _shared_seeds(base: Group, other: Group) -> Iterator[tuple[Trial, Trial]]:
    by_seed = {trial.seed: trial for trial in base.trials}
    for trial in other.trials:
        if trial.seed in by_seed:
            yield by_seed[trial.seed], trial


def _return_differences(pairs: Sequence[tuple[Trial, Trial]]) -> Iterator[float]:
    """Second minus first, of those pairs that were evaluated on the same episodes."""
    for a, b in pairs:
        if a.as_trained is None or b.as_trained is None:
            continue
        first, second = on_common_episodes([a.as_trained, b.as_trained])
        if are_paired([first, second]):
            yield float(np.mean(second.values(RETURN) - first.values(RETURN)))
