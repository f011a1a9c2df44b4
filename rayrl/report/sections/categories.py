"""Policies beside the demonstrators in every category of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rayrl.evaluation.result import RETURN
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.figures.chart import IntervalChart, IntervalRow
from rayrl.report.html import Html, element, join, table
from rayrl.report.outcomes import Kind, Outcome, Outcomes, at_beginning, categories_in, outcomes_of
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.sections.results import details, further_metrics, metric_heading
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import NOTHING, count, interval, listed, mean

ByCategory = Mapping[str, Outcomes]
Cell = Callable[[str, Outcomes, Outcome], str]
"""What stands in the table's cell of a category, of those who played in it, and of one of these."""


def build(run: RunData) -> Sequence[Block]:
    """Scores by category as a chart and a table, then a table for each metric."""
    return _blocks({name: outcomes_of(run, name) for name in (AS_TRAINED, *categories_in(run))})


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """The same of all runs' policies, as far as they played the same episodes."""
    names = comparison.categories()
    return _blocks({name: comparison.outcomes(name) for name in (AS_TRAINED, *names)}) if names else []


def _blocks(categories: ByCategory) -> Sequence[Block]:
    scored = all(found.reference and found.random for found in categories.values())
    blocks: list[Block] = [_chart(categories), category_table("score", categories, _score)] if scored else []
    blocks.append(_note(categories))
    metrics = dict.fromkeys(name for found in categories.values() for name in further_metrics(found))
    for name in (RETURN, *metrics):
        blocks.append(details(metric_heading(name), category_table("", categories, of_metric(name))))
    return blocks


def _chart(categories: ByCategory) -> IntervalChart:
    rows = [
        IntervalRow(label=f"{category_words(name)}, {row.label}", estimate=score, style=row.style)
        for name, found in categories.items()
        for row in found.of(Kind.trained)
        if (score := found.score(row)) is not None
    ]
    return IntervalChart(
        name="categories",
        title="Score by category",
        description="Score of the trained policies in each category of the evaluation, with its interval.",
        x_label="Score (random 0, reference 1)",
        rows=rows,
        origin=1.0,
    )


def category_table(title: str, categories: ByCategory, cell: Cell, *, caption: str | None = None) -> Html:
    """A row for each category, a column for each policy and demonstrator."""
    labels = dict.fromkeys(row.label for found in categories.values() for row in found.rows)
    body = []
    for name, found in categories.items():
        rows = {row.label: row for row in found.rows}
        body.append(
            [
                category_words(name),
                *(cell(name, found, rows[label]) if label in rows else NOTHING for label in labels),
            ]
        )
    return table([title, *labels], body, caption=caption)


def _score(category: str, found: Outcomes, row: Outcome) -> str:
    score = found.score(row)
    if score is None:
        return NOTHING
    fixed = row in (found.random, found.reference)
    return mean(score) if fixed else join([mean(score), element("small", interval(score))])


def of_metric(metric: str) -> Cell:
    """Cells of a metric's mean over its interval."""

    def cell(category: str, found: Outcomes, row: Outcome) -> str:
        if not row.has(metric):
            return NOTHING
        estimate = row.mean(metric)
        return join([mean(estimate), element("small", interval(estimate))])

    return cell


def _note(categories: ByCategory) -> Html:
    first = categories[AS_TRAINED]
    sentences = [
        "The policies were trained in the environment as the experiment has it (as trained); episodes of the "
        "other categories are of the evaluation alone. Within a category all played the same episodes.",
    ]
    if first.reference is not None:
        sentences.append(_who_leads(categories, [row.label for row in first.of(Kind.trained)]))
    return element("p", " ".join(sentences), class_="note")


def categories_sentences(run: RunData) -> tuple[str, str] | None:
    """How trained policies fare in the categories besides the one they were trained in.

    Returns:
        The finding, and in which categories; None where there is nothing to compare with.
    """
    categories = {name: outcomes_of(run, name) for name in categories_in(run)}
    reference = next((found.reference for found in categories.values() if found.reference), None)
    labels = dict.fromkeys(row.label for found in categories.values() for row in found.of(Kind.trained))
    if reference is None or not labels:
        return None
    better = {label: len(_by_sign(categories, label)[1]) for label in labels}
    number = count(len(categories), "category", "categories")
    if len(labels) > 1 and not any(better.values()):
        head = f"In {number} besides the environment as trained, no policies beat {reference.label}."
        return head, _who_leads(categories, list(labels))
    (first, wins), *others = better.items()
    clauses = [
        f"{first} policies beat {reference.label} in {wins} of {number}",
        *(f"{label} policies in {wins}" for label, wins in others),
    ]
    head = f"Besides the environment as trained, {listed(clauses)}."
    return head, _who_leads(categories, list(labels))


def _by_sign(categories: ByCategory, label: str) -> dict[int, list[str]]:
    """The categories in which a policy's return is above the reference's beyond doubt (1), or below (-1)."""
    by_sign: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for name, found in categories.items():
        row = next((row for row in found.rows if row.label == label), None)
        if row is not None and found.reference is not None:
            place = "the environment as trained" if name == AS_TRAINED else category_words(name)
            by_sign[row.difference(found.reference, RETURN).sign].append(place)
    return by_sign


def _who_leads(categories: ByCategory, labels: Sequence[str]) -> str:
    """In which categories policies beat the reference, in words; once where it is the same of all."""
    found = {label: _ahead(categories, label) for label in labels}
    if len(labels) > 1 and len({*found.values()}) == 1:
        return f"All of them {found[labels[0]]}."
    return " ".join(f"{at_beginning(label)} policies {clauses}." for label, clauses in found.items())


def _ahead(categories: ByCategory, label: str) -> str:
    """In which categories a policy beats the reference."""
    by_sign = _by_sign(categories, label)
    reference = next(found.reference.label for found in categories.values() if found.reference)
    clauses = [
        f"{verb} {reference} in {listed(by_sign[sign])}"
        for sign, verb in ((1, "beat"), (0, "cannot be told from"), (-1, "lose to"))
        if by_sign[sign]
    ]
    return listed(clauses)


def category_words(category: str) -> str:
    """A category's name in words."""
    return category.replace("_", " ")


SECTION = Section("categories", "Categories", 35, lambda run: bool(categories_in(run)), build, compare)
