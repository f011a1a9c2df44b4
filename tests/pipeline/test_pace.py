"""Rates and remaining time, from hand-written records."""

import json

import pytest

from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.pace import Pace, stage_pace, trial_pace
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.trial import TrialState, trial_folder


@pytest.fixture
def folder(file, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.prepare(load_experiment(file), invocation_of(file, (), smoke=False))
    return run


def write(folder, *records: tuple[float, dict[str, object]]) -> None:
    """Records of the train stage, each at a second after noon."""
    lines = [
        json.dumps({"time": f"2026-01-01T12:{second // 60:02.0f}:{second % 60:06.3f}+00:00"} | record)
        for second, record in records
    ]
    (folder.logs / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))


def progress(done: float) -> dict[str, object]:
    return {"event": "progress", "done": done, "total": 1000, "unit": "steps"}


def test_a_stages_rate_is_that_of_its_last_minute(folder):
    assert stage_pace(folder, "train") is None
    write(folder, (0, {"event": "started"}), (10, progress(0)), (50, progress(40)), (110, progress(340)))
    pace = stage_pace(folder, "train")
    # 300 steps in the 60 s from second 50 on; what was before does not count.
    assert pace == Pace(done=340, total=1000, unit="steps", rate=5.0)
    assert pace.left_s == 132.0


def test_an_earlier_attempt_does_not_count(folder):
    write(folder, (0, progress(10)), (10, {"event": "started"}), (20, progress(500)))
    assert stage_pace(folder, "train") == Pace(500, 1000, "steps", None)
    assert stage_pace(folder, "train").left_s is None


def test_a_trials_rate_is_that_of_its_last_iterations(folder):
    state = TrialState(
        architecture="mlp_baseline",
        condition="no_pretrain",
        seed=0,
        state="running",
        step=100,
        total_steps=1000,
        metrics={"episode_return_mean": 7.0},
    )
    assert trial_pace(folder, state) == (Pace(100, 1000, "steps"), 7.0)
    home = trial_folder(folder, "mlp_baseline", "no_pretrain", 0)
    home.mkdir(parents=True)
    lines = [
        {"step": 100 * n, "episode_return_mean": 8.0 * n, "seconds": {"total": 50.0 if n <= 2 else 4.0}}
        for n in range(1, 13)
    ]
    (home / "progress.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    # The last ten iterations: 1,000 steps in 40 s.
    assert trial_pace(folder, state) == (Pace(1200, 1000, "steps", 25.0), 96.0)
