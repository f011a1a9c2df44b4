"""The section on actions, and the distributions among the results."""

import csv

import pytest

from rayrl.report import build_report
from tests.report.run_folder import write_run


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    return build_report(write_run(tmp_path_factory.mktemp("run"))).parent / "figures"


def read(file):
    with file.open() as rows:
        return list(csv.DictReader(rows))


def test_shares_of_actions_add_up_to_one_at_every_step(figures):
    rows = read(figures / "actions_warm.csv")
    assert {row["series"] for row in rows} == {"action 0", "action 1"}
    by_step = {}
    for row in rows:
        by_step.setdefault(row["x"], []).append(float(row["y"]))
    assert all(sum(shares) == pytest.approx(1.0) for shares in by_step.values())


def test_a_distribution_rises_with_the_percentile(figures):
    rows = [row for row in read(figures / "distribution_latency.csv") if row["series"] == "least_outstanding"]
    assert [float(row["x"]) for row in rows] == [50, 90, 99]
    values = [float(row["y"]) for row in rows]
    assert values == sorted(values)
