"""Which candidate to take: the recommendation, what was weighed, and quality against cost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

from rayrl.comparison.criteria import COSTS, Criterion
from rayrl.comparison.quantities import criterion_label, in_prose, quantity
from rayrl.comparison.record import FILE, Candidate, Comparison, MeasureKind, Standing
from rayrl.comparison.sections.found import applies, found_in
from rayrl.report.figures.chart import Point, PointChart
from rayrl.report.html import Html, element, join, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.sections.results import details
from rayrl.report.text import NOTHING, capitalized, listed, number, percent

_FAR_APART = 10.0
"""Costs of which the highest is so many times the lowest are shown by ratio."""
_CSV = "decision.csv"


def build(run: RunData) -> Sequence[Block]:
    """The recommendation, the matrix, the front, and what each candidate costs."""
    comparison = found_in(run)
    return [
        _recommendation(comparison),
        _matrix(comparison),
        _note(comparison),
        *_fronts(comparison),
        details("What each costs", _costs(comparison)),
    ]


def _recommendation(comparison: Comparison) -> Html:
    head, *reasons = comparison.recommendation
    parts = [element("p", element("strong", head), " ".join(reasons))]
    if comparison.warnings:
        wary = [element("li", text) for text in comparison.warnings]
        box = element("div", element("h3", "Before you rely on this"), element("ul", *wary), class_="wary")
        return join([element("div", *parts, class_="findings"), box])
    return element("div", *parts, class_="findings")


def _matrix(comparison: Comparison) -> Html:
    """A row for each candidate, best first; below each value what it counts, from 0 to 1."""
    decision = comparison.decision
    columns = [*decision.weights, *decision.unknown]
    sure = _are_drawn(comparison)
    header = ["", "total", *(["first in"] if sure else [])]
    for criterion in columns:
        weight = decision.weights.get(criterion)
        says = "unknown" if weight is None else f"weight {number(weight)}"
        header.append(join([criterion_label(criterion, comparison.measure), element("small", says)]))
    rows = []
    for standing in decision.standings:
        candidate = comparison.candidate(standing.label)
        cells = [standing.label, number(standing.total, 3)]
        if sure:
            cells.append(percent(standing.first))
        measured = (_weighed(candidate, standing, each, comparison.measure) for each in columns)
        rows.append([*cells, *measured])
    caption = (
        "Best first. Below each number stands what it counts, from 0 to 1; the total is their weighted mean."
    )
    return table(header, rows, caption=caption)


def _are_drawn(comparison: Comparison) -> bool:
    """Whether resamples of the seeds tell how often anybody comes first."""
    return any(standing.first is not None for standing in comparison.decision.standings)


def _weighed(candidate: Candidate, standing: Standing, criterion: Criterion, measure: MeasureKind) -> str:
    counts = standing.utilities.get(criterion)
    text = quantity(criterion, candidate.criteria[criterion].value, measure)
    return text if counts is None else join([text, element("small", number(counts, 2))])


def _note(comparison: Comparison) -> Html:
    decision, measure = comparison.decision, comparison.measure
    scores = [measure, Criterion.sample_efficiency.words]
    shares = [Criterion.efficiency.words, Criterion.safety.words]
    if measure != "return":
        shares = scores + shares
    sentences = [
        f"{capitalized(listed(shares))} count as they are, a cost as the lowest divided by one's own: half "
        "for who costs twice as much."
    ]
    if measure == "return":
        sentences.append(
            f"{capitalized(listed(scores))} have no scale here, so the best candidate's counts 1 and the "
            "worst's 0, however near they are."
        )
    if _are_drawn(comparison):
        drawn = [in_prose(each.label) for each in decision.standings if each.first is not None]
        whose = "" if len(drawn) == len(decision.standings) else f" of {listed(drawn)}"
        sentences.append(
            f"First in: the share of 10,000 resamples of the training seeds{whose} in which it has the "
            "highest total."
        )
    if decision.unknown:
        names = listed([criterion.words for criterion in decision.unknown])
        sentences.append(f"Not known of all, and so not weighed: {names}.")
    sentences.append("compare.weights in the experiment file sets the weights.")
    return element("p", " ".join(sentences), class_="note")


def _fronts(comparison: Comparison) -> Iterator[Block]:
    """A figure for the first cost that tells candidates apart, and who is on the front of each cost."""
    fronts = comparison.decision.fronts
    if not fronts:
        return
    first = fronts[0].cost
    costs = [candidate.criteria[first].value for candidate in comparison.candidates]
    known = [cost for cost in costs if cost]
    quality = criterion_label(Criterion.success, comparison.measure)
    yield PointChart(
        name="quality_against_cost",
        title=f"{capitalized(quality)} against {first.words}",
        description=f"The {quality} and the {first.words} of each candidate with their intervals, and a line "
        "through those that no other beats in both.",
        x_label=capitalized(first.label),
        y_label=capitalized(quality),
        points=[
            Point(candidate.label, candidate.criteria[first], candidate.mean, candidate.style)
            for candidate in comparison.candidates
        ],
        front=fronts[0].labels,
        front_label="beaten by none",
        log_x=len(known) == len(costs) and max(known) > _FAR_APART * min(known),
    )
    rows = [
        [capitalized(f"{quality} and {front.cost.words}"), listed([*map(in_prose, front.labels)])]
        for front in fronts
    ]
    rows.append(["All that is weighed", listed([*map(in_prose, comparison.decision.front)])])
    caption = "Beaten by none in two things at once, and in everything at once (the Pareto fronts)."
    yield table(["", "candidates"], rows, caption=caption, text_columns=2)


def _costs(comparison: Comparison) -> Html:
    header = [
        "",
        *(criterion.label for criterion in COSTS),
        "latency p99 (ms)",
        "FLOPs of a decision",
        "steps",
    ]
    rows = []
    for candidate in comparison.candidates:
        cells = [quantity(cost, candidate.criteria[cost].value, comparison.measure) for cost in COSTS]
        others = [candidate.latency_p99, candidate.flops, candidate.steps]
        rows.append([candidate.label, *cells, *map(number, others)])
    unknown = any(cell == NOTHING for row in rows for cell in row)
    caption = (
        "Means over training seeds. Latency: the median of decisions for one observation. Wall time: of "
        "training, and of the pretraining before it. Memory: the most that a trial's processes are known to "
        "have had. FLOPs: of one observation, the largest that there is room for; smaller graphs cost less."
        + (f" {NOTHING}: not recorded." if unknown else "")
    )
    return table(header, rows, caption=caption)


def _to_json(run: RunData) -> str:
    return json.dumps(found_in(run).model_dump(mode="json"), indent=2) + "\n"


def _to_csv(run: RunData) -> str:
    comparison = found_in(run)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = [criterion.value for criterion in Criterion]
    rows.writerow(["label", "rank", "total", "first", *names, *(f"counts_{name}" for name in names)])
    for standing in comparison.decision.standings:
        candidate = comparison.candidate(standing.label)
        values = [candidate.criteria[criterion].value for criterion in Criterion]
        counts = [standing.utilities.get(criterion) for criterion in Criterion]
        rows.writerow([standing.label, standing.rank, standing.total, standing.first, *values, *counts])
    return text.getvalue()


SECTION = Section("decision", "Which to take", 7, applies, build, files={FILE: _to_json, _CSV: _to_csv})
