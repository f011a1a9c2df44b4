"""What was run, with what, and on what: configuration, versions, hardware."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rayrl.report.html import Html, element, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section


def build(run: RunData) -> Sequence[Block]:
    """Hardware and versions side by side, then the whole configuration."""
    facts = {"Hardware": run.environment.hardware, "Versions": run.versions}
    shown = [_group(title, values) for title, values in facts.items() if values]
    options = [(path, json.dumps(value, ensure_ascii=False)) for path, value in _leaves(run.config)]
    configuration = table(["option", "value"], options, text_columns=2)
    return [
        element("div", *shown, class_="columns"),
        element("details", element("summary", f"Configuration ({len(options)} options)"), configuration),
    ]


def _group(title: str, values: Mapping[str, Any]) -> Html:
    rows = [(name, str(value)) for name, value in _leaves(values)]
    return element("div", element("h3", title), table(["", ""], rows, text_columns=2))


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield from _leaves(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


SECTION = Section("setup", "Configuration, versions, hardware", 60, lambda run: True, build)
