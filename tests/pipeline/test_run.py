"""Experiments from Python."""

import json
import sys
from dataclasses import replace

import pytest

import rayrl
from rayrl.cli.main import main
from rayrl.errors import ConfigError, StageError
from rayrl.pipeline import stages
from rayrl.pipeline.context import StageOutputs
from rayrl.pipeline.failure import FAILED
from rayrl.pipeline.run_folder import RunFolder


@pytest.fixture
def in_this_process(counting, monkeypatch):
    """The counting stages, without Ray; a local run chooses a token, which is gone after the test."""
    stages._kinds["count"] = replace(stages._kinds["count"], uses_ray=False)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("in_this_process")
def test_a_run_from_python_ends_with_its_report(file, folder, capsys):
    assert rayrl.run(file, run_dir=str(folder), overrides=["train.options.to=3"], local=True) == folder
    assert json.loads((folder / "report" / "report.html").read_text())["n"] == 3
    assert "count: done after" in capsys.readouterr().out
    again = rayrl.run(str(file), run_dir=folder, overrides=["train.options.to=3"], local=True)
    assert again == folder
    assert "count: done already" in capsys.readouterr().out


@pytest.mark.usefixtures("in_this_process")
def test_an_error_is_raised_and_nothing_is_made(file, folder):
    with pytest.raises(ConfigError, match="train\\.total_step: unknown key"):
        rayrl.run(file, run_dir=folder, overrides=["train.total_step=3"], local=True)
    assert not folder.exists()


def _partly(context):
    """A stage that is done for all but what a file does not mend."""
    done = context.folder.path / "page.txt"
    done.write_text("done")
    failed = {} if (context.folder.path / "mended").exists() else {FAILED: {"trial-7": "no memory"}}
    return StageOutputs((done,), extra=failed)


def _report(context):
    page = context.folder.report_file
    page.parent.mkdir(exist_ok=True)
    page.write_text("a page")
    return StageOutputs((page,))


@pytest.fixture
def a_part_fails(in_this_process, monkeypatch):
    """Of the first stage, one part fails until the file ``mended`` is in the run folder."""
    for name, function in (("count", _partly), ("page", _report)):
        kind = replace(stages._kinds[name], run=f"{__name__}:{function.__name__}", in_chunks=False)
        monkeypatch.setitem(stages._kinds, name, replace(kind, script=None))


@pytest.mark.usefixtures("a_part_fails")
def test_a_run_of_which_a_part_failed_ends_with_its_report_and_is_not_finished(file, folder, capsys):
    with pytest.raises(StageError, match="trial-7: no memory") as error:
        rayrl.run(file, run_dir=folder, local=True)
    assert str(error.value).startswith("1 of 1 trials failed:\n  trial-7: no memory\n  the rest is done")
    assert str(folder / "report" / "report.html") in error.value.remedy
    assert (folder / "report" / "report.html").exists()
    assert RunFolder(folder).record.finished is None
    (folder / "mended").touch()
    capsys.readouterr()
    rayrl.run(file, run_dir=folder, local=True)
    said = capsys.readouterr().out
    assert "trial-7 failed before" in said
    assert "page: done already" in said
    assert RunFolder(folder).record.finished is not None


@pytest.mark.usefixtures("a_part_fails")
def test_a_comparison_is_printed_before_what_failed(file, folder, monkeypatch, capsys):
    arguments = ["compare", str(file), "--run-dir", str(folder), "--local", "--set=seeds=[0, 1, 2]"]
    monkeypatch.setattr(sys, "argv", ["rayrl", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "nothing to compare" in printed.out
    assert "trial-7: no memory" in printed.err
