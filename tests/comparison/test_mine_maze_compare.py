"""The comparison of architectures on the mine maze, made small; and killed on the way, and completed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMPARE = Path(__file__).parents[2] / "jobs" / "experiments" / "mine_maze_compare.yaml"
ARCHITECTURES = ("mlp_baseline", "gcn", "full_hgt")
CONDITIONS = ("no_pretrain", "with_pretrain")
SEEDS = (0, 1, 2)
SMALL = (
    "--set=env.config.categories={very_simple: 1}",
    "--set=env.config.sized_for=[very_simple, simple, medium]",
    "--set=collect.steps=256",
    "--set=pretrain.epochs=1",
    "--set=train.total_steps=64",
    "--set=train.options.train_batch_size_per_learner=64",
    "--set=train.options.minibatch_size=64",
    "--set=train.options.num_epochs=1",
    "--set=evaluate.levels=1",
    "--set=evaluate.episodes=1",
)


pytestmark = pytest.mark.xdist_group("learning")  # it starts Ray


@pytest.fixture
def compare(tmp_path):
    """Starts `rayrl compare`; a process that is still alive at the end is killed."""
    started = []

    def start(*further: str) -> subprocess.Popen[str]:
        arguments = ["compare", str(COMPARE), "--run-dir", str(tmp_path / "run"), *SMALL, *further]
        process = subprocess.Popen(
            [sys.executable, "-m", "rayrl.cli.main", *arguments],
            env=os.environ | {"COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def check(folder: Path, out: str) -> None:
    """The table is printed, and everything that was compared stands in the folder."""
    lines = out.splitlines()
    assert Path(lines[-1]) == folder / "report" / "report.html"
    assert "warning: seeds = [0, 1, 2]" in out
    assert any(line.startswith("Take ") for line in lines)
    trials = {f"{a}-{c}-seed_{s}" for a in ARCHITECTURES for c in CONDITIONS for s in SEEDS}
    clones = {f"{a}-pretrain-seed_{s}" for a in ARCHITECTURES for s in SEEDS}
    results = json.loads((folder / "all_results.json").read_text())
    assert set(results) == trials | clones | {"planner", "random"}
    assert set(results["planner"]["categories"]) == {"as_trained", "very_simple", "simple", "medium"}
    comparison = json.loads((folder / "report" / "comparison.json").read_text())
    assert comparison["measure"] == "success"
    assert len(comparison["decision"]["standings"]) == len(ARCHITECTURES) * len(CONDITIONS)
    # In so few steps, some trials finish no episode.
    assert set(comparison["decision"]["unknown"]) <= {"sample_efficiency"}
    with (folder / "report" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["finished"] * len(trials)


def test_it_ends_in_a_recommendation(tmp_path, compare):
    process = compare("--local")
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    check(tmp_path / "run", out)


@pytest.mark.chaos
def test_killed_on_the_way_it_is_completed_by_the_same_command(tmp_path, compare):
    first = compare()
    done = [tmp_path / "run" / "mlp_baseline" / name / "seed_0" / "manifest.json" for name in CONDITIONS]
    deadline = time.monotonic() + 600
    while not any(file.exists() for file in done):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    kept = {file: file.stat().st_mtime_ns for file in done if file.exists()}
    second = compare()
    out, _ = second.communicate(timeout=1200)
    assert second.returncode == 0, out
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    check(tmp_path / "run", out)
