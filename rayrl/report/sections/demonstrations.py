"""The demonstrations: who did how much, how well, and with which actions, in which scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rayrl.report.figures.chart import StackedBarChart
from rayrl.report.html import Html, element, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import count, listed, number, percent

_FACTS = {"steps": "decisions", "episodes": "finished episodes", "return_mean": "mean return"}
_MOST_ACTIONS = 24
"""With more, bars of their shares tell nothing."""
Facts = Mapping[str, Any]


def build(run: RunData) -> Sequence[Block]:
    """A chart of the shares of actions, a table of every part, and what the scenarios change."""
    parts, changes = dict(_parts(run)), _changes(run)
    blocks: list[Block] = []
    bars = {label: _shares(facts["actions"]) for label, facts in parts.items() if facts.get("actions")}
    numbers = {len(bar) for bar in bars.values()}
    if len(numbers) == 1 and max(numbers) <= _MOST_ACTIONS:
        blocks.append(
            StackedBarChart(
                name="demonstrated_actions",
                title="Demonstrated actions",
                description="Share of each action by demonstrator and scenario.",
                x_label="Share of the decisions",
                bars=bars,
            )
        )
    rows = [[label, *(_cell(facts.get(fact)) for fact in _FACTS)] for label, facts in parts.items()]
    caption = f"{_what(run)}; a dash where no episode came to its end."
    if run.evaluated_in is not None:
        caption += f" The evaluation has other options ({run.evaluated_in}), and so other returns."
    blocks.append(table(["demonstrator", *_FACTS.values()], rows, caption=caption))
    if changes:
        caption = "The options of the environment that a scenario replaces, for each of its variants."
        blocks.append(table(["scenario", "options"], changes, caption=caption, text_columns=2))
    if missing := never_taken(run):
        named = listed([str(action) for action in missing])
        text = (
            f"Nobody ever took action {named}. A policy cloned from these demonstrations will not take it "
            "either, which is fine if there is no use for it."
        )
        blocks.append(element("p", text, class_="note"))
    return blocks


def never_taken(run: RunData) -> list[int]:
    """The Discrete actions, counted from 0, that no demonstrator ever took."""
    counts = [facts["actions"] for facts in _demonstrators(run).values() if facts.get("actions")]
    if not counts or len({len(each) for each in counts}) > 1:
        return []
    return np.flatnonzero(np.sum(counts, axis=0) == 0).tolist()


def agreement_table(run: RunData) -> Html | None:
    """Held-out agreement of each cloned policy with each demonstrator and in each scenario."""
    policies = {
        f"{p.architecture}, seed {p.seed}": p.summary.agreement
        for p in run.pretraining
        if p.summary is not None and p.summary.agreement
    }
    groups = [
        (kind, name)
        for kind in ("demonstrators", "scenarios", "actions")
        for name in dict.fromkeys(name for found in policies.values() for name in found.get(kind, {}))
    ]
    if not groups:
        return None
    form = percent if any("commonest" in found for found in policies.values()) else number
    rows = []
    for kind, name in groups:
        values = [found.get(kind, {}).get(name, {}) for found in policies.values()]
        steps = next((each["steps"] for each in values if each), None)
        label = f"action {name}" if kind == "actions" else name
        rows.append([label, *(form(each.get("value")) for each in values), number(steps)])
    caption = (
        "Agreement with held-out decisions by demonstrator, scenario and demonstrated action: the share that "
        "is the same, or of continuous actions the mean distance."
    )
    return table(["", *policies, "decisions, first seed"], rows, caption=caption)


def _demonstrators(run: RunData) -> Mapping[str, Facts]:
    return run.dataset.extra.demonstrators if run.dataset is not None else {}


def _what(run: RunData) -> str:
    given = run.dataset.extra.import_ if run.dataset is not None else None
    if given is None:
        return "The demonstrations"
    return f"The demonstrations, {count(given.replays, 'replay')} of {given.file} that were simulated again"


def _parts(run: RunData) -> Iterator[tuple[str, Facts]]:
    for name, facts in _demonstrators(run).items():
        yield name, facts
        scenarios = facts.get("scenarios", {})
        if len(scenarios) > 1:
            yield from ((f"{name}, {scenario}", part) for scenario, part in scenarios.items())


def _changes(run: RunData) -> list[list[str]]:
    scenarios = run.dataset.extra.scenarios if run.dataset is not None else {}
    return [
        [name, ", ".join(f"{key} = {value}" for key, value in variant.items())]
        for name, variants in scenarios.items()
        for variant in variants
    ]


def _shares(counts: Sequence[int]) -> dict[str, float]:
    total = sum(counts)
    return {f"action {k}": taken / total if total else 0.0 for k, taken in enumerate(counts)}


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, int | float) else "–"


SECTION = Section("demonstrations", "Demonstrations", 38, lambda run: bool(_demonstrators(run)), build)
