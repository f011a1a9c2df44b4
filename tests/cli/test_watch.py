"""`rayrl watch` while a run goes on, and how it ends."""

import io
import json
import threading
import time
from contextlib import ExitStack

import pytest
from rich.console import Console

from rayrl.cli.watch import watch
from rayrl.errors import RunError
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.lock import hold
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.trial import TrialState, trial_folder, write_trial

EXPERIMENT = """
name: small
env: {id: CartPole-v1}
conditions: [no_pretrain]
"""


@pytest.fixture
def folder(tmp_path):
    """A run whose train stage has told of 200 of 1,000 steps, at 10 a second."""
    file = tmp_path / "small.yaml"
    file.write_text(EXPERIMENT)
    run = RunFolder(tmp_path / "run")
    run.prepare(load_experiment(file), invocation_of(file, (), smoke=False))
    records = [
        {"time": f"2026-01-01T12:00:{2 * n:02}+00:00", "message": "", "event": "progress"}
        | {"done": 20 * n, "total": 1000, "unit": "steps"}
        for n in range(11)
    ]
    started = {"time": "2026-01-01T12:00:00+00:00", "message": "", "event": "started"}
    (run.logs / "train.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in [started, *records]))
    for seed in (0, 1):
        home = trial_folder(run, "mlp_baseline", "no_pretrain", seed)
        home.mkdir(parents=True)
        lines = [{"step": 50 * n, "episode_return_mean": 21.5, "seconds": {"total": 10.0}} for n in (1, 2, 3)]
        (home / "progress.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        write_trial(
            run,
            TrialState(
                architecture="mlp_baseline",
                condition="no_pretrain",
                seed=seed,
                state="running" if seed else "failed",
                step=150,
                total_steps=1000,
                metrics={},
                error=None if seed else "the level is missing",
            ),
        )
    return run


def seen(folder: RunFolder, *, terminal: bool, finished: bool, seconds: float = 1.5) -> str:
    """What is shown of a run that goes on for a moment, and then ends."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, color_system=None, width=120, height=30)
    held, released = threading.Event(), threading.Event()

    def run() -> None:
        with ExitStack() as stack:
            stack.enter_context(hold(folder.lock_file))
            stack.enter_context(hold(folder.stage("train") / "lock"))
            held.set()
            time.sleep(seconds)
            if finished:
                folder.set_finished(True)
        released.set()

    thread = threading.Thread(target=run)
    thread.start()
    held.wait()
    try:
        watch(folder, console)
    finally:
        # However it ended, it ended when the run had.
        assert released.wait(5)
        thread.join()
    return out.getvalue()


def test_on_a_terminal_it_shows_steps_returns_rates_and_what_is_left(folder):
    text = seen(folder, terminal=True, finished=True)
    assert "run by process" in text
    assert "200 of 1,000 steps, 10 steps/s, 1:20 left" in text
    rows = [line for line in text.splitlines() if line.startswith("mlp_baseline-no_pretrain-seed_1")]
    row, last = dict.fromkeys(rows)
    assert last.split()[1] == "stopped"  # once no process holds the stage any more
    # 100 steps in the 20 s of the last two iterations; 850 are left.
    assert row.split()[1] == "running"
    assert row.split()[-6:] == ["150", "of", "1,000", "21.5", "5", "2:50"]


def test_in_a_pipe_it_says_each_thing_once(folder):
    lines = seen(folder, terminal=False, finished=True).splitlines()
    assert lines == [
        "train: running",
        "evaluate: waiting",
        "report: waiting",
        "mlp_baseline-no_pretrain-seed_0: failed, 150 of 1,000 steps",
        "mlp_baseline-no_pretrain-seed_1: running, 150 of 1,000 steps",
        "train: 200 of 1,000 steps, 10 steps/s, 1:20 left",
        "train: waiting",
        "mlp_baseline-no_pretrain-seed_1: stopped, 150 of 1,000 steps",
    ]


def test_a_run_that_ends_unfinished_is_an_error_that_says_why(folder):
    with (folder.logs / "train.jsonl").open("a") as file:
        record = {"time": "2026-01-01T12:01:00+00:00", "event": "failed", "message": "failed: no such level"}
        file.write(json.dumps(record) + "\n")
    with pytest.raises(RunError, match="train failed: failed: no such level"):
        seen(folder, terminal=False, finished=False)


def test_when_there_are_many_trials_those_that_run_are_shown(folder):
    for seed in range(2, 40):
        state = TrialState(
            architecture="mlp_baseline",
            condition="no_pretrain",
            seed=seed,
            state="finished",
            step=1000,
            total_steps=1000,
            metrics={"episode_return_mean": 1.0},
        )
        write_trial(folder, state)
    text = seen(folder, terminal=True, finished=True, seconds=0.5)
    assert "seed_0 " in text
    assert "seed_1 " in text
    # 30 lines, less 6 around and 3 stages.
    assert "and 19 more" in text
