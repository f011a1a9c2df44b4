"""What was run, with what, and on what: configuration, versions, hardware, and digests of the content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rayrl.report.html import Html, element, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import NOTHING
from rayrl.storage.hashing import sha256_json

_SHORT = 12


def build(run: RunData) -> Sequence[Block]:
    """Hardware and versions side by side, then digests, then the whole configuration."""
    facts = {"Hardware": run.environment.hardware, "Versions": run.versions}
    shown = [_group(title, values) for title, values in facts.items() if values]
    options = [(path, json.dumps(value, ensure_ascii=False)) for path, value in leaves(run.config)]
    configuration = table(["option", "value"], options, text_columns=2)
    return [
        element("div", *shown, class_="columns"),
        _digests(run),
        element("details", element("summary", f"Configuration ({len(options)} options)"), configuration),
    ]


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """Versions, hardware and digests of all runs, those first in which they differ."""
    facts = [
        {f"{kind}.{name}": str(value) for kind, values in of_run.items() for name, value in leaves(values)}
        for of_run in (
            {"hardware": run.environment.hardware, "versions": run.versions} for run in comparison.runs
        )
    ]
    names = dict.fromkeys(name for of_run in facts for name in of_run)
    rows = {name: [of_run.get(name, NOTHING) for of_run in facts] for name in names}
    differing = {name: values for name, values in rows.items() if len(set(values)) > 1}
    alike = [[name, values[0]] for name, values in rows.items() if name not in differing]
    header = ["", *comparison.letters]
    blocks: list[Block] = []
    if differing:
        caption = "Versions and hardware in which the runs differ."
        body = [[name, *values] for name, values in differing.items()]
        blocks.append(table(header, body, caption=caption, text_columns=len(header)))
    else:
        blocks.append(element("p", "Versions and hardware are the same in all runs."))
    blocks.append(_compared_digests(comparison))
    summary = f"The same in all runs ({len(alike)})"
    same = table(["", "value"], alike, text_columns=2)
    return [*blocks, element("details", element("summary", summary), same)]


def _compared_digests(comparison: SeveralRuns) -> Html:
    of_runs = [digests_of(run) for run in comparison.runs]
    names = dict.fromkeys(name for digests in of_runs for name in digests)
    rows = [
        [name, *(short_digest(digests[name]) if name in digests else NOTHING for digests in of_runs)]
        for name in names
    ]
    header = ["", *comparison.letters]
    return table(header, rows, caption="SHA-256 of content.", text_columns=len(header))


def _group(title: str, values: Mapping[str, Any]) -> Html:
    rows = [(name, str(value)) for name, value in leaves(values)]
    return element("div", element("h3", title), table(["", ""], rows, text_columns=2))


def digests_of(run: RunData) -> dict[str, str]:
    """SHA-256 of the configuration, its inputs, the demonstrations and the policies, by what it is of."""
    digests = {"configuration": sha256_json(dict(run.config))}
    for option, file in run.info.inputs.items():
        digests[f"{option}: {PurePath(file.copy_).name}"] = file.sha256
    if run.dataset is not None and run.dataset.files:
        digests["demonstrations"] = run.dataset.sha256
    weights = {each.name: each.weights_sha256 for each in run.pretraining}
    weights |= {trial.name: trial.weights_sha256 for trial in run.trials}
    return digests | {f"weights, {name}": sha256 for name, sha256 in weights.items() if sha256 is not None}


def short_digest(sha256: str) -> Html:
    """The first characters, which unfold to the whole."""
    short = element("summary", element("code", sha256[:_SHORT]))
    return element("details", short, element("code", sha256), class_="digest")


def _digests(run: RunData) -> Html:
    rows = [[what, short_digest(sha256)] for what, sha256 in digests_of(run).items()]
    caption = (
        "What the run rests on, and what it made, by the first characters of its SHA-256; each opens to the "
        "whole. The same digest is the same content, bit for bit."
    )
    return table(["", "SHA-256"], rows, caption=caption, text_columns=2)


def leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested options, each with its dotted path."""
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield from leaves(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


SECTION = Section("setup", "Configuration, versions, hardware, digests", 60, lambda run: True, build, compare)
