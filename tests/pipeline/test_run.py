"""Experiments from Python."""

import json
from dataclasses import replace

import pytest

import rayrl
from rayrl.errors import ConfigError
from rayrl.pipeline import stages


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
