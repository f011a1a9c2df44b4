"""What the shell is offered, asked as the shells' completion scripts ask."""

import os
import subprocess
import sys

import pytest

from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from tests.experience.stored.building import dataset, saved_buffer

EXPERIMENT = """
name: small
env: {id: CartPole-v1}
architectures: [mlp_baseline, mlp_other]
conditions: [no_pretrain]
"""


@pytest.fixture
def complete(tmp_path):
    """The words offered for the last one of a line, by the command as it is installed."""
    (tmp_path / "small.yaml").write_text(EXPERIMENT)
    program = tmp_path / "rayrl"
    program.write_text(f"#!{sys.executable}\nfrom rayrl.cli.main import main\nmain()\n")
    program.chmod(0o755)

    def ask(line: str) -> list[str]:
        words = ["rayrl", *line.split(" ")]
        environ = os.environ | {
            "_RAYRL_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        done = subprocess.run(
            [program], cwd=tmp_path, env=environ, check=True, capture_output=True, text=True
        )
        assert done.stderr == ""
        return done.stdout.split()

    return ask


def test_commands_and_options(complete):
    assert {"run", "init", "doctor", "watch", "status"} <= set(complete(""))
    assert "--run-dir" in complete("run small.yaml --")


def test_stages_and_architectures_of_the_file(complete):
    assert complete("stage t") == ["train"]
    assert complete("stage train small.yaml --architecture mlp_o") == ["mlp_other"]
    assert complete("stage train none.yaml --architecture m") == []


def test_keys_of_the_experiment_file(complete):
    assert complete("run small.yaml --set train.t") == ["train.total_steps="]
    assert set(complete("doctor small.yaml --set pretrain.e")) == {
        "pretrain.epochs=",
        "pretrain.early_stop_patience=",
    }
    assert complete("run small.yaml --set env.id=CartP") == ["env.id=CartPole-v0", "env.id=CartPole-v1"]


def test_environments_and_what_can_be_listed(complete):
    assert complete("init --env rayrl/R") == ["rayrl/Router-v0"]
    named = {"envs", "architectures", "algorithms", "demonstrators", "scenarios", "suites"}
    assert set(complete("list ")) == named


def test_runs(complete, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("small_1", "small_2"):
        folder = RunFolder(tmp_path / "runs" / name)
        folder.prepare(load_experiment(tmp_path / "small.yaml"), invocation_of(tmp_path, (), smoke=False))
    (tmp_path / "runs" / "other").mkdir()
    assert set(complete("watch runs/s")) == {"runs/small_1", "runs/small_2"}


def test_datasets_and_saved_buffers(complete, tmp_path):
    dataset(tmp_path / "demos")
    saved_buffer(tmp_path / "runs" / "small_1" / "replay")
    (tmp_path / "deeds").mkdir()
    assert complete("data info de") == ["demos"]
    assert complete("data verify runs/") == ["runs/small_1/replay"]
    assert complete(f"data stats {tmp_path}/d") == [f"{tmp_path}/demos"]
    assert set(complete("data ")) == {"info", "stats", "verify", "export"}
    assert complete("import l") == ["legacy"]
    assert complete("import legacy x --ends t") == ["terminated", "truncated"]


@pytest.mark.parametrize("line", ["data ", "stage ", "run small.yaml --set train.", "init --env rayrl/"])
def test_nothing_is_asked_of_ray_or_pytorch(line, tmp_path):
    code = (
        "import sys, rayrl.cli.main\n"
        "try: rayrl.cli.main.app(prog_name='rayrl')\n"
        "except SystemExit: pass\n"
        "print(sorted({'ray', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    words = ["rayrl", *line.split(" ")]
    environ = os.environ | {
        "_RAYRL_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip()
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_there(shell):
    environ = os.environ | {"_RAYRL_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-c", "from rayrl.cli.main import app; app(prog_name='rayrl')"]
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    assert "_RAYRL_COMPLETE" in done.stdout
