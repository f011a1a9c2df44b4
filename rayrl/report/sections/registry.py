"""Sections: what a report consists of. A capability adds its own by ``register_section``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rayrl.errors import ConfigError
from rayrl.report.figures.chart import Chart
from rayrl.report.html import Html
from rayrl.report.run_data import RunData
from rayrl.report.several_runs import SeveralRuns

Block = Html | Chart
"""A piece of a section: markup, or a figure."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page."""

    key: str
    """Its anchor in the page."""
    title: str
    position: int
    """Sections stand in the order of their positions."""
    applies: Callable[[RunData], bool]
    """Whether the run has what the section shows."""
    build: Callable[[RunData], Sequence[Block]]
    """Its content, from top to bottom."""
    compare: Callable[[SeveralRuns], Sequence[Block]] | None = None
    """Its content where several runs are compared, none of which need to have it; None leaves it out."""
    files: Mapping[str, Callable[[RunData], str]] = field(default_factory=dict)
    """By name, the text of files that stand beside the page."""


_sections: dict[str, Section] = {}


def register_section(section: Section) -> None:
    """Makes a section part of every report of a run that it applies to.

    Raises:
        ConfigError: another section has its key.
    """
    if _sections.get(section.key, section) is not section:
        raise ConfigError(f"the section {section.key!r} is there already", where="report")
    _sections[section.key] = section


def sections_for(run: RunData) -> list[Section]:
    """The sections that apply to a run, in order."""
    return [section for section in _ordered() if section.applies(run)]


def sections_comparing(comparison: SeveralRuns) -> list[tuple[Section, Sequence[Block]]]:
    """The sections that have something to say of several runs, in order, with what they say."""
    built = [(section, section.compare(comparison)) for section in _ordered() if section.compare]
    return [(section, blocks) for section, blocks in built if blocks]


def file_names() -> set[str]:
    """The files that sections may put beside the page."""
    return {name for section in _sections.values() for name in section.files}


def _ordered() -> list[Section]:
    return sorted(_sections.values(), key=lambda section: section.position)
