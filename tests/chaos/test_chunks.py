"""Training in chunks, killed in the second one: the same command finishes it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rayrl.pipeline.processes import end_private_ray

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


def start(home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rayrl.cli.main", "run", "chunks.yaml", "--run-dir", "run", *CHUNKS]
    with (home / "out").open("a") as output:
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


@pytest.fixture
def home(tmp_path):
    (tmp_path / "chunks.yaml").write_text(EXPERIMENT)
    yield tmp_path
    if (lock := tmp_path / "run" / ".lock").exists():
        holder = json.loads(lock.read_text())
        if holder["mark"]:
            end_private_ray(holder["mark"], Path(holder["ray_temp"]))


def test_killed_in_chunk_2_it_finishes_on_the_second_call(home):
    run, process = home / "run", start(home)
    deadline = time.monotonic() + 500
    while not all(len(lines(run, trial)) >= 13 for trial in TRIALS):
        assert process.poll() is None, (home / "out").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    holder = json.loads((run / ".lock").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    end_private_ray(holder["mark"], Path(holder["ray_temp"]))
    before = json.loads((run / "training_progress.json").read_text())
    assert (before["completed_chunks"], before["status"]) == (1, "running")
    manifest = run / "stages" / "train-chunk1" / "manifest.json"
    written = manifest.stat().st_mtime_ns
    # And one of the two has lost a piece of its newest checkpoint.
    newest = sorted((run / TRIALS[0] / "checkpoints").glob("step_*"))[-1]
    (newest / "algorithm_state.pkl").write_bytes((newest / "algorithm_state.pkl").read_bytes()[:100])

    assert start(home).wait(500) == 0, (home / "out").read_text()
    assert manifest.stat().st_mtime_ns == written
    for trial in TRIALS:
        # Each iteration stands there once, whatever was done again.
        assert [line["step"] for line in lines(run, trial)] == [*range(512, 20481, 512)]
        state = json.loads((run / trial / "trial.json").read_text())
        assert (state["state"], state["step"], state["exact"]) == ("finished", 20480, True)
        assert len(state["incidents"]) == (trial == TRIALS[0])
    assert "is damaged (output algorithm_state.pkl has 100 bytes" in (home / "out").read_text()
    # What is done once in a trial's life was done in the first chunk.
    assert {line["stabilization_steps"] for trial in TRIALS for line in lines(run, trial)} == {512}

    progress = json.loads((run / "training_progress.json").read_text())
    assert (progress["status"], progress["total_chunks"], progress["completed_chunks"]) == ("completed", 4, 4)
    assert progress["error_message"] is None
    memory = [[chunk["memory_bytes"][name] for name in IDENTITIES] for chunk in progress["chunks"]]
    assert np.max(np.array(memory[-1]) / np.array(memory[0])) <= 1.1
