"""The notebook: its code cells run in order, in one interpreter, and come to what they say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"
LINK = re.compile(r"\]\(([^)]+)\)")


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text())["cells"]


def test_it_is_a_notebook_without_outputs(cells):
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


def test_its_links_lead_somewhere(cells):
    links = [
        link
        for cell in cells
        if cell["cell_type"] == "markdown"
        for link in LINK.findall("".join(cell["source"]))
    ]
    assert links
    assert [link for link in links if not (NOTEBOOK.parent / link).exists()] == []


def test_its_cells_run_in_order(cells, tmp_path):
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    script = tmp_path / "cells.json"
    script.write_text(json.dumps(code))
    # As a kernel does: each cell is executed in the namespace of those before.
    run = "import json, sys; names = {}; [exec(cell, names) for cell in json.load(open(sys.argv[1]))]"
    done = subprocess.run(
        [sys.executable, "-c", run, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    accuracies = [float(found) for found in re.findall(r"epoch \d: ([\d.]+)% of held-out", done.stdout)]
    assert len(accuracies) == 8
    assert accuracies[-1] > accuracies[0]
    means = dict(re.findall(r"^(\w+) +(-?[\d.]+) +to least_outstanding", done.stdout, re.MULTILINE))
    assert set(means) == {"random", "least_outstanding", "clone", "trained"}
    assert float(means["random"]) < float(means["clone"])
    assert (tmp_path / "policies" / "trained" / "policy.json").exists()
