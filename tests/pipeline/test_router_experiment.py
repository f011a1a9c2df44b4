"""The router's experiment, from demonstrations to the report, as users run it; killed half way, and again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rayrl.experience.dataset import open_dataset
from rayrl.models.policy_folder import load_policy

ROOT = Path(__file__).parents[2]
ROUTER = ROOT / "jobs" / "experiments" / "router.yaml"
# Two iterations a trial, in small networks.
QUICK = (
    "--smoke",
    "--set=train.options.train_batch_size_per_learner=512",
    "--set=train.options.num_epochs=1",
    "--set=train.checkpoint_every_s=0.01",
)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "rayrl.cli.main", *map(str, arguments)]


def run(*arguments: object, timeout_s: float = 400) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout_s, check=False)


def finished_files(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Bytes and times of what the stages wrote."""
    files = [
        *folder.glob("collect/*"),
        *folder.glob("mlp_baseline/**/policy/*"),
        *folder.glob("report/*.html"),
    ]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_a_smoke_run_goes_from_demonstrations_to_the_report_and_repeats_nothing(tmp_path):
    folder = tmp_path / "run"
    first = run("run", ROUTER, "--run-dir", folder, *QUICK)
    assert first.returncode == 0, first.stdout + first.stderr
    report = Path(first.stdout.splitlines()[-1])
    assert report == folder / "report" / "report.html"
    assert report.stat().st_size > 100_000
    assert "not recorded" not in report.read_text()
    printed = "".join(file.read_text() for file in (folder / "logs").glob("*.log"))
    assert "finished in" in printed
    for noise in ("DeprecationWarning", "gputil", "tensorboard --logdir", "Configuration for experiment"):
        assert noise not in printed
    assert json.loads((folder / "environment.json").read_text())["hardware"]["processor"]
    dataset = open_dataset(folder / "collect")
    dataset.verify()
    assert dataset.num_steps == 1024
    assert set(dataset.manifest.extra["demonstrators"]) == {"least_outstanding", "join_shortest_work"}
    cloned = folder / "mlp_baseline" / "pretrain" / "seed_0"
    # Of the 512 steps of each demonstrator, in one episode, none is held out: there is nothing to measure on.
    moments = load_policy(cloned / "policy").network.normalizer
    assert (
        float(moments.count) + json.loads((cloned / "summary.json").read_text())["agreement"]["all"]["steps"]
        == 1024
    )
    for condition in ("no_pretrain", "with_pretrain"):
        home = folder / "mlp_baseline" / condition / "seed_0"
        assert json.loads((home / "trial.json").read_text())["step"] == 1024
        assert load_policy(home / "policy").provenance["step"] == 1024
        assert (home / "eval_results.json").is_file()
    assert set(json.loads((folder / "all_results.json").read_text())) == {
        "mlp_baseline-no_pretrain-seed_0",
        "mlp_baseline-with_pretrain-seed_0",
        "mlp_baseline-pretrain-seed_0",
        "join_shortest_work",
        "least_outstanding",
        "random",
        "round_robin",
    }
    before = finished_files(folder)
    second = run("run", ROUTER, "--run-dir", folder, *QUICK)
    assert second.returncode == 0, second.stdout + second.stderr
    assert finished_files(folder) == before
    status = json.loads(run("status", folder, "--json").stdout)
    assert [trial["step"] for trial in status["trials"]] == [1024, 1024]
    assert all(stage["state"] == "done" for stage in status["stages"])


@pytest.mark.chaos
def test_training_that_was_killed_goes_on_from_its_checkpoint_to_the_same_end(tmp_path):
    folder = tmp_path / "run"
    arguments = (
        "run",
        ROUTER,
        "--run-dir",
        folder,
        *QUICK,
        "--set=train.options.train_batch_size_per_learner=64",
        "--set=train.options.minibatch_size=64",
    )
    trial_file = folder / "mlp_baseline" / "no_pretrain" / "seed_0" / "trial.json"
    first = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while not (trial_file.exists() and 0 < json.loads(trial_file.read_text())["step"] < 1024):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.01)
    holder = json.loads((folder / ".lock").read_text())
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = run(*arguments)
    assert second.returncode == 0, second.stdout + second.stderr
    state = json.loads(trial_file.read_text())
    assert state["step"] == 1024
    assert state["state"] == "finished"
    assert state["resumed_from"]
    assert 0 < state["resumed_from"][0] < 1024
    left = [
        p for p in psutil.process_iter(["cmdline"]) if holder["ray_temp"] in " ".join(p.info["cmdline"] or [])
    ]
    assert not left
