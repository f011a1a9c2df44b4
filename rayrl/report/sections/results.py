"""Results of the evaluation: returns, scores, and every number that the environment tells at the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rayrl.evaluation.result import LENGTH, OF_LEVEL, RETURN, SUCCESS
from rayrl.evaluation.statistics import Estimate
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.episodes import FILE as EPISODES
from rayrl.report.episodes import episodes_csv
from rayrl.report.figures.chart import IntervalChart, IntervalRow, Line, LineChart
from rayrl.report.html import Html, element, join, table
from rayrl.report.outcomes import Kind, Outcome, Outcomes, outcomes_of
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import NOTHING, capitalized, count, interval, mean, signed

_NO_PAIR = [NOTHING, NOTHING]
_UNITS = {"throughput": "1/s", "goodput": "1/s", "latency": "s", "ttft": "s"}
"""By the first word of a metric's name."""
_PERCENTILE = re.compile(r"(?P<name>.+)_p(?P<percent>\d\d)")
_ENOUGH_PERCENTILES = 3
_NAMES = {RETURN: "mean return", "ttft": "time to first token", LENGTH: "episode length", SUCCESS: "success"}


def build(run: RunData) -> Sequence[Block]:
    """A chart and a table of returns, a table of the other metrics, and differences to the reference."""
    where = (
        f"{EPISODES} beside this page has a row for every episode of all categories: who played it, its "
        "level where the suite names levels, its seed, and every number above."
    )
    notes = [where]
    if run.evaluated_in is not None:
        notes.insert(
            0,
            f"Evaluated with other options of the environment than it was trained with ({run.evaluated_in}): "
            "returns of training and demonstrations cannot be held against these.",
        )
    return [*_blocks(outcomes_of(run)), *(element("p", note, class_="note") for note in notes)]


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """The same of all runs' policies, as far as they played the same episodes; the others by themselves."""
    outcomes = comparison.outcomes(AS_TRAINED)
    blocks = list(_blocks(outcomes)) if outcomes.rows else []
    if outcomes.unpaired:
        caption = (
            "Of other episodes than the above, so that these cannot be held against them: the environment, "
            "its options, the seed or the number of episodes is another."
        )
        rows = [[row.label, *_pair(row.mean(RETURN), mean)] for row in outcomes.unpaired]
        blocks.append(table(["", "mean return", "95 % interval"], rows, caption=caption))
    return blocks


def _blocks(outcomes: Outcomes) -> Sequence[Block]:
    reference, metrics = outcomes.reference, further_metrics(outcomes)
    blocks: list[Block] = [_chart(outcomes), _returns(outcomes), _note(outcomes)]
    if reference is not None and (
        learned := [row for row in outcomes.rows if row.kind is not Kind.demonstrator]
    ):
        blocks.insert(1, _close_up(learned, reference))
    blocks += _quantiles(outcomes, metrics)
    if metrics:
        caption = "What the environment tells at the end of an episode: mean and, below, its 95 % interval."
        blocks.append(_table(outcomes.rows, metrics, Outcome.mean, mean, caption))
    if metrics and reference is not None:
        others = [row for row in outcomes.rows if row is not reference]
        caption = (
            f"Mean difference to {reference.label} over the same episodes and, below, its 95 % interval."
        )
        differences = _table(
            others, metrics, lambda row, metric: row.difference(reference, metric), signed, caption
        )
        blocks.append(details(f"Differences to {reference.label}", differences))
    if any(len(row.results) > 1 for row in outcomes.rows):
        blocks.append(details("Every training seed", _by_seed(outcomes)))
    return blocks


def _chart(outcomes: Outcomes) -> IntervalChart:
    rows = [
        IntervalRow(
            label=row.label,
            estimate=row.mean(RETURN),
            style=row.style,
            points=row.seed_means(RETURN) if len(row.results) > 1 else (),
        )
        for row in outcomes.rows
    ]
    return IntervalChart(
        name="returns",
        title="Mean return in evaluation",
        description="Mean return of each policy and demonstrator over the same episodes, and its interval.",
        x_label="Return of an episode",
        rows=rows,
    )


def _close_up(rows: Sequence[Outcome], reference: Outcome) -> IntervalChart:
    floor = float(reference.values(RETURN).mean())
    return IntervalChart(
        name="differences",
        title=f"Policies against {reference.label}",
        description=f"Mean difference of each policy's return to {reference.label} over the same episodes.",
        x_label="Difference in return, same episodes",
        rows=[
            IntervalRow(
                label=row.label,
                estimate=row.difference(reference, RETURN),
                style=row.style,
                points=[value - floor for value in row.seed_means(RETURN)] if len(row.results) > 1 else (),
            )
            for row in rows
        ],
        origin=0.0,
    )


def _quantiles(outcomes: Outcomes, metrics: Sequence[str]) -> Iterator[LineChart]:
    """The distribution of what the environment tells by percentiles: ``latency_p50``, ``latency_p90``, …"""
    families: dict[str, dict[int, str]] = {}
    for metric in metrics:
        if found := _PERCENTILE.fullmatch(metric):
            families.setdefault(found["name"], {})[int(found["percent"])] = metric
    for name, by_percent in families.items():
        rows = [row for row in outcomes.rows if all(row.has(metric) for metric in by_percent.values())]
        if len(by_percent) < _ENOUGH_PERCENTILES or not rows:
            continue
        percents = np.array(sorted(by_percent), np.float64)
        lines = []
        for row in rows:
            values = [row.mean(by_percent[int(percent)]).value for percent in percents]
            lines.append(Line(row.label, percents, np.array(values, np.float64), row.style))
        title = metric_heading(name)
        yield LineChart(
            name=f"distribution_{name}",
            title=f"Distribution of {title}",
            description=f"{capitalized(title)} by percentile, mean over the same episodes for all.",
            x_label="Percentile",
            y_label=capitalized(title),
            lines=lines,
        )


def _returns(outcomes: Outcomes) -> Html:
    reference = outcomes.reference
    rows = []
    for row in outcomes.rows:
        cells = [row.label, *_pair(row.mean(RETURN), mean)]
        if reference is not None:
            cells += _NO_PAIR if row is reference else _pair(row.difference(reference, RETURN), signed)
            cells += _score(outcomes, row)
        rows.append(cells)
    header = ["", "mean return", "95 % interval"]
    if reference is not None:
        header += [f"difference to {reference.label}", "95 % interval", "score", "95 % interval"]
    return table(header, rows)


def _note(outcomes: Outcomes) -> Html:
    first = outcomes.rows[0].results[0]
    sentences = [
        f"All played the same {count(first.episodes, 'episode')} of {first.env.id} (seed {first.seed}).",
        "Numbers of trained and cloned policies are means over their training seeds; the small marks are the "
        "single seeds. Intervals are over episodes: they tell how well these policies are known, not how "
        "another training would turn out.",
    ]
    if outcomes.reference is not None and outcomes.random is not None:
        sentences.append(
            f"The score is (return − random) / ({outcomes.reference.label} − random): 0 for random actions, "
            f"1 for {outcomes.reference.label}."
        )
    return element("p", " ".join(sentences), class_="note")


def further_metrics(outcomes: Outcomes) -> list[str]:
    """Metrics besides the return, of which at least one is known of all.

    A constant length tells nothing, and what tells of the level nothing of who played it.
    """
    names = dict.fromkeys(name for row in outcomes.rows for result in row.results for name in result.metrics)
    lengths = {value for row in outcomes.rows if row.has(LENGTH) for value in row.values(LENGTH)}
    dull = {RETURN, *OF_LEVEL} | ({LENGTH} if len(lengths) == 1 else set())
    return [name for name in names if name not in dull]


def _table(
    rows: Sequence[Outcome],
    metrics: Sequence[str],
    estimate: Callable[[Outcome, str], Estimate],
    form: Callable[[Estimate], str],
    caption: str,
) -> Html:
    body = [
        [
            metric_heading(name),
            *(_stacked(estimate(row, name), form) if row.has(name) else NOTHING for row in rows),
        ]
        for name in metrics
    ]
    return table(["", *(row.label for row in rows)], body, caption=caption)


def _by_seed(outcomes: Outcomes) -> Html:
    rows = []
    for row in outcomes.rows:
        for result in row.results if len(row.results) > 1 else ():
            single = Outcome(row.label, row.kind, row.style, (result,))
            seed, digest = result.actor.provenance.get("seed"), result.actor.weights_sha256
            rows.append(
                [
                    f"{row.label}, seed {seed}" if seed is not None else row.label,
                    *_pair(single.mean(RETURN), mean),
                    *_score(outcomes, single),
                    digest[:12] if digest else NOTHING,
                ]
            )
    header = ["", "mean return", "95 % interval", "score", "95 % interval", "weights (sha256)"]
    return table(header, rows)


def _score(outcomes: Outcomes, row: Outcome) -> list[str]:
    """Score and interval; those of random actions and the reference are what the scale is made of."""
    score = outcomes.score(row)
    if score is None:
        return _NO_PAIR
    return [mean(score), NOTHING] if row in (outcomes.random, outcomes.reference) else _pair(score, mean)


def _pair(estimate: Estimate, form: Callable[[Estimate], str]) -> list[str]:
    return [form(estimate), interval(estimate)]


def _stacked(estimate: Estimate, form: Callable[[Estimate], str]) -> Html:
    return join([form(estimate), element("small", interval(estimate))])


def metric_heading(metric: str) -> str:
    """A metric's name in words, with its unit: ``latency p99 (s)`` of ``latency_p99``."""
    first, _, rest = metric.partition("_")
    name = _NAMES.get(metric) or " ".join(filter(None, [_NAMES.get(first, first), rest.replace("_", " ")]))
    return f"{name} ({_UNITS[first]})" if first in _UNITS else name


def details(summary: str, content: Html) -> Html:
    """What is shown when the reader asks for it."""
    return element("details", element("summary", summary), content)


SECTION = Section(
    "results",
    "Results",
    30,
    lambda run: bool(outcomes_of(run).rows),
    build,
    compare,
    files={EPISODES: episodes_csv},
)
