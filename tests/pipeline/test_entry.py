"""A stage as a process of its own."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rayrl.errors import RunLockedError
from rayrl.pipeline.entry import main, run_stage
from rayrl.pipeline.execution import run_unit, why_run
from rayrl.pipeline.jobs import command
from rayrl.pipeline.lock import hold
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stage_error import from_output
from rayrl.pipeline.stages import Chunk, StageKind, StageUnit, plan
from rayrl.pipeline.stop import request_stop

ROOT = Path(__file__).parents[2]


def test_the_job_of_a_unit_runs_its_script_with_this_interpreter(prepared):
    folder, experiment = prepared()
    count = plan(experiment)[0]
    arguments = [str(folder.config_file), "--run-dir", str(folder)]
    assert shlex.split(command(count, folder)) == [sys.executable, str(count.kind.script), *arguments]
    train = StageUnit(StageKind("train", run="m:f", reads=()))
    assert shlex.split(command(train, folder))[1] == str(ROOT / "jobs" / "train.py")
    bare = shlex.split(command(StageUnit(StageKind("other", run="m:f", reads=()), "gru"), folder))
    assert bare[1:4] == ["-m", "rayrl.pipeline.entry", "other"]
    assert bare[-2:] == ["--architecture", "gru"]
    chunk = StageUnit(StageKind("train", run="m:f", reads=()), chunk=Chunk(2, 4, 10_000))
    assert shlex.split(command(chunk, folder))[-2:] == ["--chunk", "2"]


@pytest.mark.parametrize(("own", "found"), [(sys.executable, sys.executable), ("/none/python", "python")])
def test_elsewhere_a_job_runs_the_python_that_the_node_has(prepared, monkeypatch, own, found):
    folder, _ = prepared()
    monkeypatch.setattr(sys, "executable", own)
    train = StageUnit(StageKind("train", run="m:f", reads=()))
    line = command(train, folder, is_here=False)
    word, rest = line.split(" -m ")
    assert subprocess.check_output(f'echo "{word}"', shell=True, text=True).strip() == found
    assert rest.split()[:2] == ["rayrl.pipeline.entry", "train"]


def test_a_job_says_in_its_output_why_it_failed(prepared, capsys):
    folder, _ = prepared()
    assert main("page", [str(folder.config_file), "--run-dir", str(folder)]) == 1
    error = from_output(capsys.readouterr().err)
    assert error.message == "it builds on count, which has not finished"


def test_a_job_runs_what_is_not_done(prepared, capsys):
    folder, experiment = prepared("train.options.delay=0")
    count, page = plan(experiment)
    run_unit(count, folder, experiment)
    arguments = [str(folder.config_file), "--run-dir", str(folder)]
    assert main("page", arguments) == 0
    assert why_run(page, folder, experiment) is None
    written = folder.report_file.stat().st_mtime_ns
    assert main("page", arguments) == 0
    assert folder.report_file.stat().st_mtime_ns == written


def test_by_hand_the_folder_is_prepared_with_the_overrides(prepared, file, tmp_path):
    folder, experiment = prepared("train.options.delay=0")
    run_unit(plan(experiment)[0], folder, experiment)
    request_stop(folder, "an earlier call")
    overrides = ["train.options.delay=0", "evaluate.episodes=3"]
    run_stage("page", file, folder.path, overrides)
    assert folder.report_file.exists()
    assert folder.experiment().evaluate.episodes == 3
    assert RunFolder(folder.path).record.invocation.overrides == tuple(overrides)


def test_by_hand_a_folder_that_a_run_holds_is_left_alone(prepared, file):
    folder, _ = prepared()
    with hold(folder.lock_file), pytest.raises(RunLockedError):
        run_stage("page", file, folder.path)
