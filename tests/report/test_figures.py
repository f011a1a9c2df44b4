import io
import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import image

from rayrl.evaluation.statistics import Estimate
from rayrl.report.figures.chart import (
    IntervalChart,
    IntervalRow,
    Level,
    Line,
    LineChart,
    StackedBarChart,
)
from rayrl.report.figures.data import to_csv
from rayrl.report.figures.image import to_png
from rayrl.report.figures.interactive import to_plotly
from rayrl.report.figures.style import STYLES, style_of

NASTY = "</script><b>$x$</b> & co"

LINES = LineChart(
    name="curves",
    title=NASTY,
    description="d",
    x_label="x",
    y_label="y",
    lines=[
        Line("a, seed 0", np.array([0.0, 1.0]), np.array([0.25, 0.5]), 0, faint=True),
        Line(NASTY, np.array([0.0, 1.0]), np.array([0.1, 1 / 3]), 1),
    ],
    levels=[Level("ceiling", 0.9)],
    percent=True,
)
INTERVALS = IntervalChart(
    name="intervals",
    title="t",
    description="d",
    x_label="x",
    rows=[
        IntervalRow("known", Estimate(value=2.0, low=1.0, high=4.0, n=9), 0, points=[1.5, 2.5]),
        IntervalRow("single", Estimate(value=3.0, low=None, high=None, n=1), 7),
        IntervalRow("unknown", Estimate(value=None, low=None, high=None, n=0), 2),
    ],
    origin=0.0,
)
BARS = StackedBarChart(
    name="bars",
    title="t",
    description="d",
    x_label="s",
    bars={"cold": {"sampling": 1.0, "learning": 2.0}, "warm": {"sampling": 3.0, "learning": 4.0}},
)
CHARTS = [LINES, INTERVALS, BARS]


def test_csv_of_curves():
    assert to_csv(LINES).splitlines() == [
        "series,x,y",
        '"a, seed 0",0.0,0.25',
        '"a, seed 0",1.0,0.5',
        f"{NASTY},0.0,0.1",
        f"{NASTY},1.0,0.3333333333333333",
        "ceiling,,0.9",
    ]


def test_csv_of_intervals_and_bars():
    assert to_csv(INTERVALS).splitlines() == [
        "label,value,low,high,n,point_0,point_1",
        "known,2.0,1.0,4.0,9,1.5,2.5",
        "single,3.0,,,1",
        "unknown,,,,0",
    ]
    assert to_csv(BARS).splitlines() == [
        "bar,part,value",
        "cold,sampling,1.0", "cold,learning,2.0", "warm,sampling,3.0", "warm,learning,4.0",
    ]  # fmt: skip


@pytest.mark.parametrize("chart", CHARTS)
def test_every_chart_becomes_a_picture(chart):
    picture = image.imread(io.BytesIO(to_png(chart)))
    assert picture.shape[1] == 1200
    assert len(np.unique(picture.reshape(-1, 4), axis=0)) > 20


@pytest.mark.parametrize("chart", CHARTS)
def test_json_cannot_end_its_script_and_knows_its_colours(chart):
    text = to_plotly(chart)
    assert "<" not in text
    figure = json.loads(text)
    assert all(0 <= trace["meta"]["series"] < len(STYLES) for trace in figure["data"])
    assert "template" not in figure["layout"] or len(text) < 4000


def test_plotly_gets_the_curves_with_names_that_are_no_markup():
    figure = json.loads(to_plotly(LINES))
    faint, bold = figure["data"]
    assert (faint["x"], faint["y"], faint["showlegend"]) == ([0, 1], [0.25, 0.5], False)
    assert bold["y"] == [0.1, 0.333333]
    assert bold["name"] == "&lt;/script&gt;&lt;b&gt;$x$&lt;/b&gt; &amp; co"
    assert (faint["line"]["dash"], bold["line"]["dash"]) == ("solid", "dash")
    assert figure["layout"]["yaxis"]["tickformat"] == ".2~%"
    (rule,) = figure["layout"]["shapes"]
    assert (rule["y0"], rule["y1"], rule["xref"]) == (0.9, 0.9, "paper")


def test_an_axis_on_which_all_is_at_one_number_has_that_tick():
    point = replace(LINES, lines=[Line("a", np.array([2048.0]), np.array([0.5]), 0)])
    assert json.loads(to_plotly(point))["layout"]["xaxis"]["tickvals"] == [2048]
    estimate = Estimate(value=2048.0, low=None, high=None, n=1)
    same = replace(
        INTERVALS, rows=[IntervalRow("a", estimate, 0), IntervalRow("b", estimate, 1)], origin=None
    )
    assert json.loads(to_plotly(same))["layout"]["xaxis"]["tickvals"] == [2048]
    assert "tickvals" not in json.loads(to_plotly(INTERVALS))["layout"]["xaxis"]


def test_plotly_gets_the_arms_of_an_interval():
    data = json.loads(to_plotly(INTERVALS))["data"]
    assert data[0]["x"] == [2.0]
    assert data[0]["error_x"]["array"] == [2.0]
    assert data[0]["error_x"]["arrayminus"] == [1.0]
    assert data[1]["x"] == [1.5, 2.5]
    assert data[2]["error_x"]["array"] == [0.0]
    assert data[4]["x"] == [None]


def test_plotly_gets_bars_by_part():
    data = json.loads(to_plotly(BARS))["data"]
    assert [(trace["name"], trace["x"], trace["y"]) for trace in data] == [
        ("sampling", [1.0, 3.0], ["cold", "warm"]),
        ("learning", [2.0, 4.0], ["cold", "warm"]),
    ]


def test_styles_differ_in_more_than_colour():
    for name in ("color", "dash", "marker", "pattern", "dash_mpl", "marker_mpl", "hatch"):
        assert len({getattr(style, name) for style in STYLES}) == len(STYLES)


def test_styles_beyond_the_colours_differ_without_them():
    styles = [style_of(index) for index in range(64)]
    assert len({(style.dash, style.marker) for style in styles}) == 64
    assert len({(style.dash_mpl, style.marker_mpl) for style in styles}) == 64
    assert styles[: len(STYLES)] == list(STYLES)
