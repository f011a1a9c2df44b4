"""How levels are solved: success, efficiency, paths, safety and why episodes failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rayrl.evaluation.level_metrics import FAILED_BY, LevelMetrics
from rayrl.evaluation.statistics import Estimate
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report.figures.chart import StackedBarChart
from rayrl.report.html import Html, element, join, table
from rayrl.report.levels import FILE, Solved, levels_csv, solved_by, solved_in
from rayrl.report.run_data import RunData
from rayrl.report.sections.categories import category_words
from rayrl.report.sections.registry import Block, Section
from rayrl.report.sections.results import details
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import NOTHING, capitalized, interval, mean

_MEANINGS = {
    "success_rate": "share of the episodes that succeed",
    "spl": "success weighted by path length: the planner's steps over those taken, 0 for whatever failed, "
    "however early",
    "efficiency": "success rate over the mean share of the step limit used; an early death raises it",
    "path_optimality": "the planner's steps over those taken, of successes alone",
    "safety": "1 − deaths per episode",
    "steps": "of an episode, whatever its end",
}
"""In the order of the columns."""
_NAMES = {"spl": "SPL"}


def build(run: RunData) -> Sequence[Block]:
    """All that is known of how levels were solved by the most likely actions."""
    solved = solved_in(run, drawn=False)
    where = (
        f"{FILE} beside this page has all of these numbers, also those of drawn actions where there are any."
    )
    return [_note(solved), *level_blocks(solved), element("p", where, class_="note")]


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """The same of all runs' policies, as far as they played the same episodes."""
    names = (AS_TRAINED, *comparison.categories())
    solved = solved_by({name: comparison.outcomes(name) for name in names})
    return [_note(solved), *level_blocks(solved)] if solved else []


def level_blocks(solved: Sequence[Solved], *, suffix: str = "", title: str = "") -> list[Block]:
    """Tables over all categories, failures by cause as a chart and tables, and each metric by category.

    Args:
        solved: who played; at least one.
        suffix: of the figure's name.
        title: what is added to the figure's title.
    """
    metrics = [*dict.fromkeys(metric for who in solved for metric in who.metrics.micro)]
    shown = [metric for metric in _MEANINGS if metric in metrics]
    causes = [metric for metric in metrics if metric.startswith(FAILED_BY)]
    pooled = _pooled(solved)
    over_all = f"over all episodes of {category_words(pooled[0])}" if pooled else "over all episodes"
    blocks: list[Block] = []
    if len(pooled) > 1:
        over_all = "over all episodes of these categories alike (micro)"
        caption = "Means of the categories, each with the same weight (macro), and, below, 95 % intervals."
        blocks.append(_overview(solved, shown, lambda found: found.macro, caption))
    caption = f"{capitalized(over_all)}, and, below, 95 % intervals."
    blocks.append(_overview(solved, shown, lambda found: found.micro, caption))
    if causes:
        if any(_value(who.metrics.micro, cause) for who in solved for cause in causes):
            blocks.append(_failures_chart(solved, causes, over_all, suffix, title))
        caption = f"Share of episodes that failed, by cause, {over_all}; together 1 − success rate."
        blocks.append(_overview(solved, causes, lambda found: found.micro, caption))
    if pooled:
        for metric in [*shown, *causes, *(name for name in metrics if name == "return")]:
            blocks.append(details(_by(metric), _by_category(solved, metric, several=len(pooled) > 1)))
    return blocks


def _note(solved: Sequence[Solved]) -> Html:
    """What the columns mean, and over what the numbers are."""
    sentences = [
        f"{capitalized(_heading(metric))}: {meaning}."
        for metric, meaning in _MEANINGS.items()
        if any(metric in who.metrics.micro for who in solved)
    ]
    if len(_pooled(solved)) > 1:
        sentences.append(
            "Micro: all episodes alike. Macro: the mean of the categories. Both are without the environment "
            "as trained."
        )
    sentences.append("Numbers of policies are means over their training seeds; intervals are over episodes.")
    return element("p", " ".join(sentences), class_="note")


def _pooled(solved: Sequence[Solved]) -> list[str]:
    """The categories that numbers over all of them are of; without any, they are as trained."""
    return [name for name in solved[0].metrics.categories if name != AS_TRAINED]


def _overview(
    solved: Sequence[Solved],
    metrics: Sequence[str],
    over: Callable[[LevelMetrics], Mapping[str, Estimate]],
    caption: str,
) -> Html:
    """A row for everyone, a column for each metric."""
    rows = [[who.label, *(_cell(over(who.metrics).get(metric)) for metric in metrics)] for who in solved]
    return table(["", *map(_heading, metrics)], rows, caption=caption)


def _by_category(solved: Sequence[Solved], metric: str, *, several: bool) -> Html:
    """A row for each category, and for all of them; a column for everyone."""
    body = [
        [category_words(name), *(_cell(who.metrics.categories[name].get(metric)) for who in solved)]
        for name in solved[0].metrics.categories
    ]
    if several:
        body.append(["all episodes (micro)", *(_cell(who.metrics.micro.get(metric)) for who in solved)])
        body.append(["mean of categories (macro)", *(_cell(who.metrics.macro.get(metric)) for who in solved)])
    return table(["", *(who.label for who in solved)], body)


def _failures_chart(
    solved: Sequence[Solved], causes: Sequence[str], over_all: str, suffix: str, title: str
) -> StackedBarChart:
    return StackedBarChart(
        name=f"failures{suffix}",
        title=f"Failures by cause{title}",
        description=f"The share of episodes that failed by each cause, for everyone, {over_all}.",
        x_label="Share of episodes",
        bars={
            who.label: {_heading(cause): _value(who.metrics.micro, cause) for cause in causes}
            for who in solved
        },
    )


def _value(estimates: Mapping[str, Estimate], metric: str) -> float:
    """The estimate; 0 of what is not known, as of an environment that tells of no such end."""
    found = estimates.get(metric)
    return 0.0 if found is None or found.value is None else found.value


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return NOTHING
    return join([mean(estimate), element("small", interval(estimate))])


def _heading(metric: str) -> str:
    return _NAMES.get(metric, metric.removeprefix(FAILED_BY).replace("_", " "))


def _by(metric: str) -> str:
    if metric.startswith(FAILED_BY):
        return f"failures by cause: {_heading(metric)}, by category"
    return f"{_heading(metric)}, by category"


SECTION = Section(
    "levels",
    "How levels are solved",
    36,
    lambda run: bool(solved_in(run, drawn=False)),
    build,
    compare,
    files={FILE: levels_csv},
)
