"""Colours, dashes and markers. Each style differs in all three, so figures can be read without colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

COLORS = ("#0b6bb8", "#c2500a", "#0a7d63", "#8746b8", "#a8323e", "#5b6670", "#8a6a00", "#b8327f")
"""On white; the page's ``--series-…`` colours are the same in light, and brighter in dark."""
FAINT = 0.35
"""Opacity of what stands behind."""
BAND = 0.16
"""Opacity of the band around a curve."""
HEAT = ("#f6f7f9", "#8fc0e8")
"""From the palest cell of a heat map to the deepest, on which text stands out; the page has its own."""


@dataclass(frozen=True, slots=True)
class Style:
    """How one series is drawn, in the words of both libraries."""

    color: str
    dash: str
    marker: str
    pattern: str
    dash_mpl: str | tuple[int, tuple[float, ...]]
    marker_mpl: str
    hatch: str


_DASHES: tuple[tuple[str, str | tuple[int, tuple[float, ...]]], ...] = (
    ("solid", "solid"),
    ("dash", "dashed"),
    ("dot", "dotted"),
    ("dashdot", "dashdot"),
    ("longdash", (0, (9.0, 3.0))),
    ("longdashdot", (0, (9.0, 2.0, 1.5, 2.0))),
    ("1px,4px", (0, (0.5, 2.5))),
    ("7px,3px,2px,3px,2px,3px", (0, (5.0, 2.0, 1.0, 2.0, 1.0, 2.0))),
)
_MARKERS = (
    ("circle", "o"),
    ("square", "s"),
    ("diamond", "D"),
    ("triangle-up", "^"),
    ("triangle-down", "v"),
    ("x", "X"),
    ("cross", "P"),
    ("star", "*"),
)
_PATTERNS = (
    ("", ""),
    ("/", "///"),
    (".", "..."),
    ("x", "xxx"),
    ("-", "---"),
    ("+", "+++"),
    ("\\", "\\\\\\"),
    ("|", "|||"),
)

STYLES = tuple(
    Style(color, dash, marker, pattern, dash_mpl, marker_mpl, hatch)
    for color, (dash, dash_mpl), (marker, marker_mpl), (pattern, hatch) in zip(
        COLORS, _DASHES, _MARKERS, _PATTERNS, strict=True
    )
)


def style_of(index: int) -> Style:
    """The style of an index.

    After each round of colours and dashes, the markers are shifted against them, so that no two of the first
    64 styles have dash and marker in common.
    """
    own, other = STYLES[index % len(STYLES)], STYLES[(index + index // len(STYLES)) % len(STYLES)]
    return replace(own, marker=other.marker, marker_mpl=other.marker_mpl)
