"""What the candidates score over training seeds: aggregates, categories, and profiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rayrl.comparison.profiles import profile
from rayrl.comparison.quantities import in_prose
from rayrl.comparison.record import Comparison
from rayrl.comparison.sections.found import applies, found_in
from rayrl.config.seeding import Role, generator
from rayrl.evaluation.statistics import Estimate
from rayrl.report.figures.chart import HeatMap, IntervalChart, IntervalRow, Line, LineChart
from rayrl.report.html import Html, element, join, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import capitalized, count, interval, listed, mean, number

_RANK = 30
"""What the random numbers of the profiles are named by."""
_THRESHOLDS = 101
_HEADINGS = {"iqm": "IQM", "mean": "mean", "median": "median", "optimality_gap": "optimality gap"}


def build(run: RunData) -> Sequence[Block]:
    """A chart and a table of aggregates, a heat map of the categories, the profiles."""
    comparison = found_in(run)
    blocks: list[Block] = [_chart(comparison), _aggregates(comparison), _note(comparison)]
    if len(comparison.tasks) > 1:
        blocks.append(_categories(comparison))
    blocks += _profiles(comparison)
    return blocks


def _chart(comparison: Comparison) -> IntervalChart:
    return IntervalChart(
        name="aggregate_scores",
        title=f"{capitalized(comparison.measure)}, interquartile mean",
        description=f"The interquartile mean of each candidate's {comparison.measure} over training seeds "
        "and categories, its interval, and each seed.",
        x_label=capitalized(comparison.measure),
        rows=[
            IntervalRow(candidate.label, candidate.iqm, candidate.style, points=candidate.run_means)
            for candidate in comparison.candidates
        ],
    )


def _aggregates(comparison: Comparison) -> Html:
    rows = [
        [
            candidate.label,
            str(len(candidate.seeds)),
            *(_cell(getattr(candidate, name)) for name in _HEADINGS),
        ]
        for candidate in comparison.candidates
    ]
    return table(["", "seeds", *_HEADINGS.values()], rows)


def _cell(estimate: Estimate) -> str:
    if estimate.low is None:
        return mean(estimate)
    return join([mean(estimate), element("small", interval(estimate))])


def _note(comparison: Comparison) -> Html:
    sentences = [
        f"{_measured(comparison)} IQM is the mean without the lowest and the highest quarter; mean and "
        "median are of the categories' means; the optimality gap is what is missing to a score of 1."
    ]
    if any(candidate.has_statistics for candidate in comparison.candidates):
        sentences.append(
            "Intervals of 95 % are over training seeds, which are drawn whole (bootstrap): they tell how "
            "another training would turn out. The small marks are means of the single seeds."
        )
    if few := [in_prose(each.label) for each in comparison.candidates if not each.has_statistics]:
        sentences.append(f"Too few training seeds for intervals: {listed(few)}.")
    return element("p", " ".join(sentences), class_="note")


def _measured(comparison: Comparison) -> str:
    where = "categories of the evaluation" if len(comparison.tasks) > 1 else "evaluation"
    match comparison.measure:
        case "success":
            return f"The score is the share of episodes that succeed, in each of the {where}."
        case "score":
            scale = next(iter(comparison.scales.values()))
            return (
                f"The score is (return − {scale.low_from}) / ({scale.high_from} − {scale.low_from}) in each "
                f"of the {where}; comparison.json has the returns that are 0 and 1."
            )
        case _:
            return f"The score is the mean return as it is, in each of the {where}: nothing says what is 1."


def _categories(comparison: Comparison) -> HeatMap:
    values = np.array(
        [
            [np.mean(candidate.scores[task]) for task in comparison.tasks]
            for candidate in comparison.candidates
        ]
    )
    scaled = comparison.measure != "return"
    return HeatMap(
        name="category_scores",
        title=f"{capitalized(comparison.measure)} by category",
        description=f"Mean {comparison.measure} over training seeds of each candidate in each category.",
        rows=[candidate.label for candidate in comparison.candidates],
        columns=[task.replace("_", " ") for task in comparison.tasks],
        values=values,
        texts=[[number(value, 2) if scaled else number(value) for value in row] for row in values],
        low=0.0 if scaled else None,
        high=max(1.0, float(values.max())) if scaled else None,
    )


def _profiles(comparison: Comparison) -> Iterator[Block]:
    scores = {
        candidate.label: np.column_stack(list(candidate.scores.values()))
        for candidate in comparison.candidates
        if candidate.has_statistics
    }
    if not scores:
        return
    low = min(float(each.min()) for each in scores.values())
    high = max(float(each.max()) for each in scores.values())
    if comparison.measure != "return":
        low, high = min(low, 0.0), max(high, 1.0)
    thresholds = np.linspace(low, high, _THRESHOLDS)
    lines = []
    for index, candidate in enumerate(comparison.candidates):
        if candidate.label not in scores:
            continue
        random = generator(0, Role.comparison, rank=_RANK, iteration=index)
        found = profile(scores[candidate.label], thresholds, random=random)
        runs = count(len(candidate.seeds), "seed")
        label = f"{candidate.label} ({runs})"
        lines.append(Line(label, thresholds, found.share, candidate.style, low=found.low, high=found.high))
    yield LineChart(
        name="performance_profiles",
        title="Performance profiles",
        description=f"The share of runs, over training seeds and categories, whose {comparison.measure} is "
        "above each threshold, with its interval.",
        x_label=f"{capitalized(comparison.measure)} τ",
        y_label="Share of runs above τ",
        lines=lines,
        percent=True,
        counted=False,
    )
    yield element(
        "p",
        "The higher the better, at every threshold. Where two profiles cross, neither is better throughout. "
        "Bands of 95 % over training seeds.",
        class_="note",
    )


SECTION = Section("scores", "Scores over training seeds", 22, applies, build)
