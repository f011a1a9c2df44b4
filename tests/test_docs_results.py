"""docs/write_results.py fills tables from run folders; the experiments of the results can be read."""

import importlib.util
from pathlib import Path

import pytest

from rayrl.pipeline.experiment import load_experiment
from rayrl.report.run_reader import read_run
from tests.report.run_folder import write_run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def writer():
    spec = importlib.util.spec_from_file_location("write_results", ROOT / "docs" / "write_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_tables_of_given_runs_are_filled(writer, tmp_path):
    runs = {"router": read_run(write_run(tmp_path, report={"target": -50.0}))}
    page = "# Results\n<!-- router steps -->\nold\n<!-- end -->\ntext\n"
    page += "<!-- other levels -->\nkept\n<!-- end -->\n"
    lines = writer.fill(page, runs).splitlines()
    assert lines[:3] == ["# Results", "<!-- router steps -->", "Target: a return of −50."]
    assert next(line for line in lines if line.startswith("| seed ")).startswith("| seed 0 | ")
    assert lines[-4:] == ["text", "<!-- other levels -->", "kept", "<!-- end -->"]
    assert "old" not in lines
    # Filling it again changes nothing.
    assert writer.fill("\n".join(lines), runs) == "\n".join(lines)


def test_every_table_is_known_and_every_experiment_is_one(writer):
    for page in (ROOT / "docs" / "results").glob("*.md"):
        for block in writer.BLOCK.finditer(page.read_text()):
            assert block["kind"] in writer.TABLES
    files = sorted((ROOT / "jobs" / "experiments" / "warm_start").glob("*.yaml"))
    assert files
    for file in files:
        stopped = "collect.demonstrators={random: 1}"
        load_experiment(file, [stopped] if "policy: null" in file.read_text() else [])
