"""The page: sections and figures in one HTML file that needs nothing else.

Its content security policy allows no request, and no script but the three that are written here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from rayrl.report.figures.chart import Chart
from rayrl.report.figures.interactive import plotly_js, to_plotly
from rayrl.report.html import Html, element, join
from rayrl.report.sections.registry import Block, Section

Built = tuple[Section, Sequence[Block]]
FIGURES = "figures"


def charts_in(built: Sequence[Built]) -> list[Chart]:
    """The figures of a page, in order."""
    return [block for _, blocks in built for block in blocks if not isinstance(block, Html)]


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands around the sections."""

    title: str
    facts: Mapping[str, str]
    """What the page is about, at its top, by name."""
    source: str
    """From what it was written."""


def render(heading: Heading, built: Sequence[Built]) -> str:
    """The page.

    Args:
        heading: what stands around the sections.
        built: the sections with their content.
    """
    scripts = [Html(source) for source in (plotly_js(), _static("report.js"))] if charts_in(built) else []
    head = element(
        "head",
        element("meta", charset="utf-8"),
        _security_policy(scripts),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{heading.title} – rayrl report"),
        element("style", Html(_static("report.css"))),
    )
    links = [element("a", section.title, href=f"#{section.key}") for section, _ in built]
    body = element(
        "body",
        _header(heading),
        element("nav", *links, aria_label="Sections"),
        element("noscript", element("p", f"Without JavaScript, see the figures in {FIGURES}/.")),
        element("main", *(_section(section, blocks) for section, blocks in built)),
        _footer(heading),
        *(element("script", script) for script in scripts),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _security_policy(scripts: Sequence[str]) -> Html:
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
    return element("meta", http_equiv="Content-Security-Policy", content=policy)


def _header(heading: Heading) -> Html:
    items = [
        element("div", element("dt", name), element("dd", value))
        for name, value in heading.facts.items()
        if value
    ]
    return element(
        "header",
        element("p", "rayrl report", class_="kicker"),
        element("h1", heading.title),
        element("dl", *items),
    )


def _section(section: Section, blocks: Sequence[Block]) -> Html:
    content = [block if isinstance(block, Html) else _figure(block) for block in blocks]
    return element("section", element("h2", section.title), *content, id=section.key)


def _figure(chart: Chart) -> Html:
    data = element(
        "script", Html(to_plotly(chart)), type="application/json", data_figure=f"figure-{chart.name}"
    )
    files = join(
        [
            element("a", "PNG", href=f"{FIGURES}/{chart.name}.png"),
            " ",
            element("a", "CSV", href=f"{FIGURES}/{chart.name}.csv"),
        ]
    )
    return element(
        "figure",
        element("figcaption", element("span", chart.title), element("span", files, class_="files")),
        element("div", id=f"figure-{chart.name}", class_="plot", role="img", aria_label=chart.description),
        data,
    )


def _footer(heading: Heading) -> Html:
    figures = f"Figures are also in {FIGURES}/ beside this page, as PNG and as CSV."
    return element("footer", element("p", f"{heading.source} {figures}"))


def _static(name: str) -> str:
    return resources.files("rayrl.report").joinpath("static", name).read_text(encoding="utf-8")
