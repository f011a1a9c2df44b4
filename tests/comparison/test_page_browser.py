"""The page of a comparison in a real browser."""

import pytest

import rayrl.comparison.sections  # noqa: F401  (registers them)
from rayrl.report import build_report
from tests.comparison.run_folder import write_run
from tests.comparison.test_sections import FIGURES
from tests.report.browser import BrowserPage

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return build_report(write_run(tmp_path_factory.mktemp("run"), architectures=["gcn", "full_hgt"]))


@pytest.fixture
def browser(tmp_path):
    with BrowserPage(tmp_path) as browser:
        yield browser


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_its_figures_draw_in_their_width_and_in_the_pages_colours(page, browser, width, scheme):
    browser.show(page, width=width, scheme=scheme)
    assert browser.complaints == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    for name in FIGURES:
        left, right = browser.evaluate(
            f"(r => [r.left, r.right])(document.querySelector('#figure-{name} svg').getBoundingClientRect())"
        )
        assert left >= 0, name
        assert right <= width, name
    heat = "document.getElementById('figure-category_scores').data[0]"
    scale = browser.evaluate(f"{heat}.colorscale.map(stop => stop[1])")
    style = "getComputedStyle(document.documentElement)"
    assert scale == browser.evaluate(
        f"['card', 'heat'].map(name => {style}.getPropertyValue('--' + name).trim())"
    )
    # Whoever does not see colours tells candidates apart by their markers.
    symbols = browser.evaluate(
        "document.getElementById('figure-quality_against_cost').data.map(trace => trace.marker?.symbol)"
    )
    assert len({symbol for symbol in symbols if symbol}) == 4
