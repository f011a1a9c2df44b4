"""Training in chunks, killed in the second one: the same command finishes it as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rayrl.models.policy_folder import load_policy
from rayrl.pipeline.processes import end_private_ray, marked

pytestmark = pytest.mark.chaos

EXPERIMENT = """
name: chunks
seeds: [0]
env: {id: rayrl/Router-v0, config: {replicas: 4, requests: 64}}
conditions: [no_pretrain, with_pretrain]
collect: {demonstrators: {least_outstanding: 1}, steps: 1024}
pretrain: {epochs: 2}
train:
  chunks: null
  gpus_per_learner: 0
  checkpoint_every_s: 0.5
  options:
    train_batch_size_per_learner: 512
    num_epochs: 2
    model_config: {fcnet_hiddens: [16]}
    stabilization: {steps: 512}
evaluate: {episodes: 2}
"""
CHUNKS = ("--set", "train.chunks.size=5000", "--set", "train.total_steps=20000")
TRIALS = ("mlp_baseline/no_pretrain/seed_0", "mlp_baseline/with_pretrain/seed_0")
IDENTITIES = [name.replace("/", "-") for name in TRIALS]


def start(home: Path, run: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rayrl.cli.main", "run", "chunks.yaml", "--run-dir", run, *arguments]
    with (home / f"{run}.out").open("a") as output:
        return subprocess.Popen(
            command,
            cwd=home,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def lines(run: Path, trial: str) -> list[dict]:
    file = run / trial / "progress.jsonl"
    found = []
    for text in file.read_text().splitlines() if file.exists() else []:
        try:
            found.append(json.loads(text))
        except ValueError:
            continue
    return found


def learned(run: Path, trial: str) -> list[dict]:
    """The lines without what is of the clock."""
    for line in (kept := lines(run, trial)):
        del line["seconds"], line["learner"]["seconds"]
    return kept


@pytest.fixture
def home(tmp_path):
    (tmp_path / "chunks.yaml").write_text(EXPERIMENT)
    yield tmp_path
    for lock in tmp_path.glob("*/.lock"):
        holder = json.loads(lock.read_text())
        if holder["mark"]:
            end_private_ray(holder["mark"], Path(holder["ray_temp"]))


def test_killed_in_chunk_2_it_finishes_on_the_second_call(home):
    uncut = start(home, "uncut", "--set", "train.total_steps=20000")
    assert uncut.wait(900) == 0, (home / "uncut.out").read_text()

    run, process = home / "run", start(home, "run", *CHUNKS)
    deadline = time.monotonic() + 600
    while not all(len(lines(run, trial)) >= 13 for trial in TRIALS):
        assert process.poll() is None, (home / "run.out").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    holder = json.loads((run / ".lock").read_text())
    for victim in marked(holder["mark"]):
        if "train.py" in " ".join(victim.cmdline()) or "TrainTrainable" in victim.name():
            victim.kill()
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    before = json.loads((run / "training_progress.json").read_text())
    assert (before["completed_chunks"], before["status"]) == (1, "running")
    first = {
        file: file.stat().st_mtime_ns for file in (run / "stages" / "train-chunk1").glob("manifest.json")
    }
    assert len(first) == 1

    again = start(home, "run", *CHUNKS)
    assert again.wait(900) == 0, (home / "run.out").read_text()
    assert {file: file.stat().st_mtime_ns for file in first} == first
    for trial in TRIALS:
        # Cut and killed, it learned what the uncut one did, and each iteration stands there once.
        assert learned(run, trial) == learned(home / "uncut", trial)
        weights = [
            load_policy(folder / trial / "policy").network.state_dict() for folder in (run, home / "uncut")
        ]
        for name, value in weights[0].items():
            np.testing.assert_array_equal(value.numpy(), weights[1][name].numpy(), err_msg=f"{trial} {name}")
        state = json.loads((run / trial / "trial.json").read_text())
        assert state["exact"]
        assert (state["state"], state["step"]) == ("finished", 20480)

    progress = json.loads((run / "training_progress.json").read_text())
    assert (progress["status"], progress["total_chunks"], progress["completed_chunks"]) == ("completed", 4, 4)
    assert progress["error_message"] is None
    memory = [[chunk["memory_bytes"][name] for name in IDENTITIES] for chunk in progress["chunks"]]
    assert np.max(np.array(memory[-1]) / np.array(memory[0])) <= 1.1


def test_a_chunk_is_repeated_from_wherever_its_trials_were_left(home):
    done = start(home, "run", "--set", "train.chunks.size=2000", "--set", "train.total_steps=4000")
    assert done.wait(900) == 0, (home / "run.out").read_text()
    run, trial = home / "run", TRIALS[0]
    expected = learned(run, trial)
    # As if chunk 2 had been killed after the first of its checkpoints was cut short by a full disk.
    for file in (
        run / trial / "manifest.json",
        run / trial / "chunks" / "chunk_2.json",
        run / "stages" / "train-chunk2" / "manifest.json",
    ):
        file.unlink()
    newest = sorted((run / trial / "checkpoints").glob("step_*"))[-1]
    (newest / "algorithm_state.pkl").write_bytes((newest / "algorithm_state.pkl").read_bytes()[:100])
    again = start(home, "run", "--set", "train.chunks.size=2000", "--set", "train.total_steps=4000")
    assert again.wait(900) == 0, (home / "run.out").read_text()
    assert learned(run, trial) == expected
    state = json.loads((run / trial / "trial.json").read_text())
    assert len(state["incidents"]) == 1
    assert "is damaged" in state["incidents"][0]
    assert "is used" in (home / "run.out").read_text()
