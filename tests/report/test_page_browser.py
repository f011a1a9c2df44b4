"""The pages in a real browser: figures draw, the console is clean, and nothing asks for the network."""

import itertools
import re

import pytest

import rayrl.comparison.sections  # noqa: F401  (registers them, as rayrl report does)
from rayrl.report import build_report, compare_runs
from rayrl.report.figures.style import COLORS
from tests.report.browser import BrowserPage
from tests.report.run_folder import write_run
from tests.report.test_build import FIGURES

pytestmark = pytest.mark.browser

PHONE, DESK = 390, 1280
TEXT, GRAPHICS = 4.5, 3.0
"""Contrast that WCAG 2.1 asks for, at level AA."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A run's report, and one that compares two runs."""
    runs = [write_run(tmp_path_factory.mktemp(name)) for name in ("one", "two")]
    return {
        "report": build_report(runs[0]),
        "comparison": compare_runs(runs, tmp_path_factory.mktemp("both") / "comparison"),
    }


@pytest.fixture
def browser(tmp_path):
    with BrowserPage(tmp_path) as browser:
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_every_figure_draws_in_its_width_and_nothing_else_is_asked_for(pages, browser, name, width, scheme):
    browser.show(pages[name], width=width, scheme=scheme)
    drawn = browser.evaluate(
        "[...document.querySelectorAll('.plot svg.main-svg:first-child')].map(svg => {"
        "const {left, right} = svg.getBoundingClientRect(); return [left, right]; })"
    )
    assert len(drawn) >= len(FIGURES) if name == "report" else len(drawn) >= 3
    assert all(left >= 0 and right <= width and right - left > width / 2 for left, right in drawn)
    # The page itself does not scroll sideways; tables that are too wide do so within.
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelectorAll('.legendtext').length") > 0
    assert browser.complaints == []
    assert {url for url in browser.requests if not url.startswith(("data:", "blob:"))} == {
        pages[name].as_uri()
    }


def test_titles_of_axes_are_whole_on_a_phone(browser, tmp_path):
    run = write_run(tmp_path, architectures=["simplified_hgt"], report={"target": 1.0})
    browser.show(build_report(run), width=PHONE)
    ends = browser.evaluate(
        "[...document.querySelectorAll('.plot')].flatMap(plot => [...plot.querySelectorAll('.xtitle')].map("
        "title => title.getBoundingClientRect().right - plot.getBoundingClientRect().right))"
    )
    assert len(ends) > 3
    assert max(ends) <= 0


def luminance(color):
    """Relative luminance of ``#rrggbb``, as WCAG 2.1 defines it."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_by_hand():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_curves_stand_out(pages, browser, scheme):
    browser.show(pages["report"], width=DESK, scheme=scheme)
    names = ["paper", "card", "wary", "ink", "quiet", "link", *(f"series-{i}" for i in range(len(COLORS)))]
    style = "getComputedStyle(document.documentElement)"
    values = browser.evaluate(f"{names}.map(name => {style}.getPropertyValue('--' + name).trim())")
    colors = dict(zip(names, values, strict=True))
    assert (luminance(colors["paper"]) < 0.1) == (scheme == "dark")
    for name in ("ink", "quiet", "link"):
        assert contrast(colors[name], colors["paper"]) >= TEXT, name
    assert contrast(colors["ink"], colors["wary"]) >= TEXT
    places = "[...document.querySelectorAll('.plot')]"
    drawn = browser.evaluate(f"{places}.flatMap(place => place.data.map(trace => trace.marker.color))")
    assert drawn
    for color in drawn:
        assert color in values
        assert contrast(color, colors["paper"]) >= GRAPHICS, color


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_series_can_be_told_apart_without_colour(pages, browser, name):
    browser.show(pages[name], width=DESK)
    figures = browser.evaluate(
        "[...document.querySelectorAll('.plot')].map(place => [place.id, place.data"
        ".filter(trace => trace.showlegend !== false && place.layout.showlegend !== false)"
        ".map(trace => [trace.line?.dash ?? null, trace.marker?.symbol ?? null,"
        " trace.marker?.pattern?.shape ?? null])])"
    )
    assert any(len(looks) > 1 for _, looks in figures)
    for figure, looks in figures:
        for a, b in itertools.combinations(looks, 2):
            assert a != b, figure


def test_a_digest_opens_to_the_whole(pages, browser):
    browser.show(pages["report"], width=PHONE)
    browser.evaluate("document.querySelector('details.digest summary').click()")
    assert browser.evaluate("document.querySelector('details.digest > code').checkVisibility()")
    whole = browser.evaluate("document.querySelector('details.digest > code').textContent")
    assert re.fullmatch(r"[0-9a-f]{64}", whole)
    assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE


def test_a_script_that_is_not_the_pages_own_does_not_run(pages, browser, tmp_path):
    changed = tmp_path / "changed.html"
    text = pages["report"].read_text()
    changed.write_text(text.replace("<h1>", "<script>document.title = 'taken'</script><h1>", 1))
    browser.show(changed, width=DESK)
    assert browser.evaluate("document.title") == "router-warm-start – rayrl report"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_the_page_prints_in_light_colours_with_all_unfolded(pages, browser, name):
    browser.show(pages[name], width=DESK, scheme="dark")
    browser.evaluate(
        "addEventListener('beforeprint', () => { window.printed = {"
        "paper: getComputedStyle(document.documentElement).getPropertyValue('--paper').trim(),"
        "folded: document.querySelectorAll('details:not([open])').length }; })"
    )
    pdf = browser.printed()
    assert pdf.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 20
    assert browser.evaluate("window.printed") == {"paper": "#ffffff", "folded": 0}
    # And is afterwards what it was.
    assert browser.evaluate("document.querySelectorAll('details[open]').length") == 0
