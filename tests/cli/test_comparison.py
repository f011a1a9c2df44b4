"""What `rayrl compare` prints at its end."""

import re

import pytest

import rayrl.comparison.sections  # noqa: F401  (registers them)
from rayrl.cli.comparison import print_comparison
from rayrl.errors import IntegrityError
from rayrl.report import build_report
from tests.comparison.run_folder import ARCHITECTURES, write_run


@pytest.fixture
def printed(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")

    def printed(run):
        print_comparison(run)
        return capsys.readouterr().out.splitlines()

    return printed


def test_a_line_for_each_candidate_best_first_then_the_recommendation(tmp_path, printed):
    build_report(write_run(tmp_path))
    lines = printed(tmp_path)
    assert re.split(r"  +", lines[0].strip())[:5] == [
        "rank", "architecture", "condition", "success", "95 % interval",
    ]  # fmt: skip
    assert "latency (ms)" in lines[0]
    ranks = [line.split()[0] for line in lines[1:7]]
    assert ranks == ["1", "2", "3", "4", "5", "6"]
    assert lines[1].split()[1:3] == ["gcn", "warm"]
    assert f"{ARCHITECTURES['gcn']['parameters']:,}" in lines[1]
    assert lines[7].startswith("warning: 3 training seeds")
    assert lines[8].startswith("Take gcn warm: success ")


def test_nothing_is_cut_off_where_the_terminal_is_narrow(tmp_path, printed, monkeypatch):
    build_report(write_run(tmp_path))
    wide = printed(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert [line.split() for line in printed(tmp_path)] == [line.split() for line in wide]


def test_two_seeds_have_no_intervals(tmp_path, printed):
    build_report(write_run(tmp_path, seeds=(0, 1), architectures=["gcn"]))
    lines = printed(tmp_path)
    assert lines[1].split()[4] == "–"
    assert any("statistics over seeds need at least 3" in line for line in lines)


def test_one_candidate(tmp_path, printed):
    build_report(write_run(tmp_path, architectures=["gcn"], conditions=["no_pretrain"]))
    assert printed(tmp_path) == [
        "nothing to compare: fewer than two architectures or conditions have results"
    ]


def test_a_damaged_record(tmp_path, printed):
    build_report(write_run(tmp_path, architectures=["gcn"]))
    (tmp_path / "report/comparison.json").write_text('{"format_version": "1.0"')
    with pytest.raises(IntegrityError, match=r"comparison\.json"):
        printed(tmp_path)
