"""The `rayrl` command: its surface, its errors and what it prints."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
import typer

from rayrl.cli.main import app, main
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.trial import TrialState, write_trial
from rayrl.storage.manifest import read_manifest, write_manifest

EXPERIMENT = """
name: small
env: {id: CartPole-v1}
conditions: [no_pretrain]
train: {gpus_per_learner: 0}
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    path = tmp_path / "small.yaml"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture
def rayrl(monkeypatch, capsys):
    """Runs the command in this process; returns exit code, standard output and error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rayrl", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", sys.path.copy())
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def folder(file, tmp_path):
    """A prepared run."""
    run = RunFolder(tmp_path / "run")
    run.prepare(load_experiment(file), invocation_of(file, (), smoke=False))
    return run


def test_the_surface():
    commands = dict(typer.main.get_command(app).commands)
    for group in ("data", "import", "policy", "suite"):
        commands |= {f"{group} {name}": command for name, command in commands.pop(group).commands.items()}
    options = {
        name: sorted(option for parameter in command.params for option in parameter.opts if "-" in option)
        for name, command in commands.items()
    }
    for name in (
        "data info",
        "data stats",
        "data verify",
        "data export",
        "evaluate",
        "import legacy",
        "policy check",
        "policy latency",
    ):
        assert commands[name].help
        assert [parameter.name for parameter in commands[name].params if not parameter.help] == []
    surface = {
        "run": [
            "--address", "--cluster", "--debug", "--external-pretrain", "--force-warmstart", "--local",
            "--new", "--resume", "--run-dir", "--set", "--smoke",
        ],
        "compare": [
            "--address", "--cluster", "--debug", "--external-pretrain", "--force-warmstart", "--local",
            "--new", "--resume", "--run-dir", "--set", "--smoke",
        ],
        "stage": ["--architecture", "--chunk", "--debug", "--run-dir", "--set"],
        "status": ["--dashboard", "--debug", "--json"],
        "watch": ["--debug"],
        "stop": ["--debug"],
        "evaluate": [
            "--debug", "--env", "--episode-timeout-s", "--episodes", "--for", "--json", "--max-steps",
            "--stochastic", "--suite",
        ],
        "init": ["--debug", "--env"],
        "doctor": ["--address", "--debug", "--json", "--set"],
        "report": ["--debug", "--out"],
        "verify-resume": ["--debug", "--iterations", "--json", "--set"],
        "list": ["--debug"],
        "data info": ["--debug", "--json"],
        "data stats": ["--debug", "--json"],
        "data verify": ["--debug", "--sample"],
        "data export": ["--debug", "--force", "--format", "--out"],
        "import legacy": ["--debug", "--ends", "--env", "--json", "--num-envs", "--out", "--trust"],
        "import replays": ["--debug", "--for", "--out", "--set"],
        "suite generate": ["--category", "--debug", "--force", "--name", "--seed", "--split"],
        "suite verify": ["--debug"],
        "suite show": ["--debug", "--json"],
        "policy show": ["--debug", "--json"],
        "policy check": ["--debug", "--for", "--json", "--set"],
        "policy latency": ["--batch", "--debug", "--device", "--for", "--json"],
    }  # fmt: skip
    assert options == surface


@pytest.mark.parametrize(("seeds", "said"), [("[0, 1]", "there are 2"), ("[7]", "there is 1")])
def test_a_comparison_of_too_few_seeds_is_refused_before_anything_starts(rayrl, file, tmp_path, seeds, said):
    code, out, err = rayrl("compare", file, "--set", f"seeds={seeds}", "--local")
    assert (code, out) == (1, "")
    assert f"small.yaml: seeds = {seeds}: a comparison needs at least 3 training seeds, and {said}" in err
    assert "`rayrl run` takes fewer" in err
    assert not (tmp_path / "runs").exists()


def test_help_imports_nothing_that_takes_long():
    heavy = "{'ray', 'torch', 'gymnasium', 'numpy', 'pydantic'}"
    code = f"import sys, rayrl.cli.main; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_an_external_policy_is_short_for_an_override(rayrl, file, tmp_path):
    code, _, err = rayrl(
        "run", file, "--external-pretrain", "it's none.pt", "--set", "conditions=[with_pretrain]"
    )
    assert code == 1
    assert "--set pretrain.from=" in err
    assert f"there is no such file or folder: {tmp_path}/it's none.pt" in err


def test_a_policy_that_does_not_fit_is_exit_code_1(rayrl, file, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"nothing")
    code, out, _ = rayrl("policy", "check", "model.pt", "--for", file, "--json")
    assert code == 1
    assert json.loads(out)["findings"][0]["state"] == "problem"
    code, _, err = rayrl("policy", "show", "model.pt")
    assert code == 1
    assert "model.pt: cannot be read by PyTorch" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "train.total_step=1"], "train.total_step: unknown key; did you mean 'total_steps'?"),
        (
            ["--set", "train.env_runners=-2"],
            "train.env_runners = -2: Input should be greater than or equal to 0",
        ),
        (
            ["--set", "env.id=CartPol-v1"],
            "env CartPol-v1: is not a registered environment\n  did you mean 'CartPole-v1'?",
        ),
        (["--set", "env.id=no_module:Env"], "module 'no_module' cannot be imported"),
        (["--set", "train.gpus_per_learner=9"], "missing 9 GPUs (it asks for 9, and there are 0)"),
        (["--run-dir", "."], "the folder holds files, but no run"),
        (["--address", "http://127.0.0.1:9"], "--address http://127.0.0.1:9: the cluster does not answer"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(rayrl, file, tmp_path, arguments, message):
    code, _, err = rayrl("run", file, *arguments)
    assert code == 1
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_trial_that_is_too_large_is_refused_within_5_s(rayrl, file):
    start = time.monotonic()
    code, _, err = rayrl("run", file, "--set", "train.env_runners=640")
    assert code == 1
    assert time.monotonic() - start < 5
    assert "this machine: a trial cannot be placed: missing " in err
    assert " CPUs (it asks for 641, and there are " in err


def test_a_missing_file_is_named(rayrl, file, tmp_path):
    code, _, err = rayrl("run", tmp_path / "none.yaml")
    assert (code, err) == (1, f"error: {tmp_path / 'none.yaml'}: there is no such file\n")


def test_a_folder_of_another_experiment_is_refused(rayrl, file, folder):
    code, _, err = rayrl("run", file, "--run-dir", folder, "--set", "name=other")
    assert code == 1
    assert "the folder holds a run of another experiment: 'small' on 'CartPole-v1'" in err


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "x", "--local", "--address", "y"], ["run", "x", "--new", "--run-dir", "y"], ["fly"]],
)
def test_wrong_usage_is_exit_code_2(rayrl, file, arguments):
    assert rayrl(*arguments)[0] == 2


def test_debug_shows_the_traceback(rayrl, file, tmp_path):
    _, _, err = rayrl("run", tmp_path / "none.yaml", "--debug")
    assert "Traceback" in err
    assert err.endswith(f"error: {tmp_path / 'none.yaml'}: there is no such file\n")


def test_an_unexpected_exception_is_one_line_too(rayrl, file, monkeypatch):
    monkeypatch.setattr("rayrl.pipeline.controller.load_experiment", lambda *a, **k: 1 / 0)
    code, _, err = rayrl("run", file)
    assert code == 1
    assert (
        err == "error: ZeroDivisionError: division by zero\n  this is a fault of rayrl; --debug shows where\n"
    )


def test_status_as_json_and_as_text(rayrl, folder):
    trial = TrialState(
        architecture="mlp_baseline",
        condition="no_pretrain",
        seed=0,
        state="running",
        step=2048,
        total_steps=4096,
        resumed_from=(1024,),
        metrics={},
    )
    write_trial(folder, trial)
    code, out, _ = rayrl("status", folder, "--json")
    status = json.loads(out)
    assert code == 0
    assert [stage["stage"] for stage in status["stages"]] == ["train", "evaluate", "report"]
    known = {"architecture": "mlp_baseline", "condition": "no_pretrain", "seed": 0}
    assert known | {"step": 2048, "resumed_from": [1024]} == {
        name: status["trials"][0][name] for name in (*known, "step", "resumed_from")
    }
    code, out, _ = rayrl("status", folder)
    assert "no process runs it" in out
    assert "2,048 of 4,096" in out


def test_status_prints_what_an_error_quotes_as_it_is(rayrl, folder):
    record = {"event": "failed", "level": "ERROR", "message": "self.envs[i].step(action) raised"}
    (folder.logs / "train.jsonl").write_text(json.dumps(record) + "\n")
    assert "self.envs[i].step(action) raised" in rayrl("status", folder)[1]


def test_watch_of_a_run_that_nobody_runs_is_an_error(rayrl, folder):
    code, out, err = rayrl("watch", folder)
    assert code == 1
    assert out.splitlines() == ["train: waiting", "evaluate: waiting", "report: waiting"]
    assert "the run ended without being finished: no process runs it" in err


def test_watch_of_a_finished_run_prints_its_report(rayrl, folder):
    folder.set_finished(True)
    folder.report_file.parent.mkdir()
    folder.report_file.touch()
    code, out, _ = rayrl("watch", folder)
    assert (code, out.splitlines()[-1]) == (0, str(folder.report_file))


def test_status_of_a_folder_without_a_run(rayrl, tmp_path, file):
    code, _, err = rayrl("status", tmp_path)
    assert (code, err) == (
        1,
        f"error: {tmp_path}: there is no run in this folder\n  name a run folder, such as one below runs/\n",
    )


def test_a_token_is_never_printed_into_a_pipe(rayrl, folder):
    code, out, err = rayrl("status", folder, "--dashboard")
    assert (code, out) == (1, "")
    assert "on a terminal only" in err


def test_stop_leaves_a_request(rayrl, folder):
    code, out, _ = rayrl("stop", folder)
    assert code == 0
    assert "no controller" in out
    assert folder.stop_file.exists()


def test_a_finished_run_cannot_be_stopped(rayrl, folder):
    folder.set_finished(True)
    code, _, err = rayrl("stop", folder)
    assert code == 1
    assert "the run has finished" in err
    assert not folder.stop_file.exists()


def test_stage_refuses_what_the_experiment_does_not_have(rayrl, file, tmp_path):
    code, _, err = rayrl("stage", "collect", file, "--run-dir", tmp_path / "run")
    assert code == 1
    assert "the experiment has no stage 'collect'" in err
    code, _, err = rayrl("stage", "trian", file, "--run-dir", tmp_path / "run")
    assert "there is no stage 'trian'\n  did you mean 'train'?" in err


def test_a_stage_by_hand_says_how_far_it_is_and_last_where_its_results_are(rayrl, folder):
    by_hand = "stage", "report", folder.config_file, "--run-dir", folder
    code, out, err = rayrl(*by_hand)
    assert (code, out) == (1, "")
    assert err.startswith(
        "error: stage report: it builds on train, which has not finished\n  run `rayrl stage"
    )
    for stage in ("train", "evaluate"):
        write_manifest(folder.stage(stage), name=stage, inputs={}, options={}, outputs=())
    code, out, _ = rayrl(*by_hand)
    first, second, last = out.splitlines()
    assert (code, last) == (0, str(folder.report_file))
    assert first == "report: runs, because it has not finished yet"
    assert re.fullmatch(r"report: done after [0-9.]+ s", second)
    code, out, _ = rayrl(*by_hand)
    assert (code, out) == (0, f"report: done already\n{folder.report_file}\n")


def test_a_report_that_is_built_anew_is_the_stages_own(rayrl, folder):
    by_hand = "stage", "report", folder.config_file, "--run-dir", folder
    for stage in ("train", "evaluate"):
        write_manifest(folder.stage(stage), name=stage, inputs={}, options={}, outputs=())
    rayrl(*by_hand)
    home = folder.stage("report")
    before = read_manifest(home)
    folder.report_file.write_text("of an older version")
    made = {"inputs": before.inputs, "options": before.options, "outputs": list(before.outputs)}
    write_manifest(home, name="report", **made)
    assert rayrl("report", folder)[:2] == (0, f"{folder.report_file}\n")
    assert folder.report_file.stat().st_size > 1000
    code, out, _ = rayrl(*by_hand)
    assert (code, out) == (0, f"report: done already\n{folder.report_file}\n")
    (home / "manifest.json").write_text("{")
    assert rayrl("report", folder)[0] == 0


def test_a_report_that_has_lost_a_file_beside_its_page_is_built_anew(rayrl, file, tmp_path):
    folder = RunFolder(tmp_path / "run")
    experiment = load_experiment(file, ["architectures=[mlp_baseline, gru]"])
    folder.prepare(experiment, invocation_of(file, (), smoke=False))
    for stage in ("train", "evaluate"):
        write_manifest(folder.stage(stage), name=stage, inputs={}, options={}, outputs=())
    by_hand = "stage", "report", folder.config_file, "--run-dir", folder
    rayrl(*by_hand)
    trials = folder.report_file.parent / "trials.csv"
    trials.unlink()
    code, out, _ = rayrl(*by_hand)
    missing = "report: runs, because output ../../report/trials.csv is missing"
    assert (code, out.splitlines()[0]) == (0, missing)
    assert trials.exists()


def test_a_relative_run_folder_in_a_ray_job_is_an_error(rayrl, file, monkeypatch):
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    code, _, err = rayrl("stage", "train", file, "--run-dir", "run")
    assert code == 1
    assert "--run-dir run is relative" in err


def test_report_of_a_run_prints_its_page(rayrl, folder, tmp_path):
    code, out, _ = rayrl("report", folder)
    assert (code, out.strip()) == (0, str(folder.path / "report" / "report.html"))
    code, out, _ = rayrl("report", folder, "--out", tmp_path / "elsewhere")
    assert (code, out.strip()) == (0, str(tmp_path / "elsewhere" / "report.html"))
    assert (tmp_path / "elsewhere" / "report.html").read_text().count("<h2>") >= 2


def test_report_of_several_runs_compares_them(rayrl, file, folder, tmp_path):
    other = RunFolder(tmp_path / "other")
    other.prepare(load_experiment(file, ["train.options.lr=0.5"]), invocation_of(file, (), smoke=False))
    code, out, _ = rayrl("report", folder, other)
    assert (code, out.strip()) == (0, "comparison/report.html")
    page = (tmp_path / "comparison" / "report.html").read_text()
    assert "train.options.lr" in page
    assert "seeds" not in page.split("Options that differ")[1].split("</table>")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: nowhere: there is no run in this folder\n  name a run folder"),
        (["run", "nowhere"], "error: nowhere: there is no run in this folder"),
        (["run", "run"], "is named twice"),
        (["run", "--out", "."], "holds something besides a report"),
    ],
)
def test_a_report_that_cannot_be_is_one_message(rayrl, folder, arguments, message):
    code, out, err = rayrl("report", *arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert "Traceback" not in err


def test_init_writes_a_file_that_doctor_has_nothing_against(rayrl, file, tmp_path):
    code, out, _ = rayrl("init", "--env", "CartPole-v1")
    assert code == 0
    assert out.startswith("cartpole.yaml is written; next:\n  rayrl run cartpole.yaml --smoke\n")
    assert rayrl("doctor", "cartpole.yaml")[0] == 0
    code, _, err = rayrl("init", "--env", "CartPol-v1", tmp_path / "other.yaml")
    assert (code, err) == (
        1,
        "error: env CartPol-v1: is not a registered environment\n  did you mean 'CartPole-v1'?\n",
    )


def test_doctor_says_what_an_experiment_lacks(rayrl, file):
    code, out, err = rayrl("doctor", file, "--set", "train.gpus_per_learner=9")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    (at,) = [index for index, line in enumerate(lines) if line.startswith("room ")]
    assert "problem  this machine: a trial cannot be placed: missing 9 GPUs" in lines[at]
    assert lines[at + 1].strip().startswith("lower train.env_runners")


def test_doctor_as_json(rayrl, file):
    _, out, _ = rayrl("doctor", "--json")
    diagnosis = json.loads(out)
    states = {finding["check"]: finding["state"] for finding in diagnosis["findings"]}
    assert {"versions", "cpu", "memory", "object store", "gpu", "ray"} <= states.keys()
    assert diagnosis["healthy"] == ("problem" not in states.values())
    code, out, _ = rayrl("doctor", "none.yaml", "--json")
    assert code == 1
    assert json.loads(out)["findings"][-1]["message"] == "none.yaml: there is no such file"


def test_doctor_asks_the_cluster_that_the_environment_names(rayrl, file, monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    code, out, _ = rayrl("doctor")
    assert code == 1
    assert "the cluster does not answer" in out


def test_a_batch_that_no_memory_holds_is_named(rayrl, tmp_path):
    code, _, err = rayrl("policy", "latency", tmp_path, "--for", "e.yaml", "--batch", "100000000000")
    assert code == 2
    assert "--batch" in err
    assert "65536" in err


def test_list(rayrl):
    assert rayrl("list", "envs")[1].splitlines()[-1].startswith("rayrl/")
    assert "ppo" in rayrl("list", "algorithms")[1].splitlines()
    architectures = dict(line.split(maxsplit=1) for line in rayrl("list", "architectures")[1].splitlines())
    assert architectures["mlp_baseline"].startswith("reads vectors – Two hidden layers of 256 tanh units")
    assert architectures["vision_free"].startswith(
        "needs graph (graph), game_state (vector), reachability (vector); fusion concat – The graph by"
    )
    assert "player_frame (image)" in architectures["full_hgt"]
    assert "fusion multi_head" in architectures["full_hgt"]
    assert "``" not in " ".join(architectures.values())
    assert any(line.endswith("  random") for line in rayrl("list", "demonstrators")[1].splitlines())
    assert "rayrl/Router-v0  lost_replica" in rayrl("list", "scenarios")[1].splitlines()
    (suite,) = rayrl("list", "suites")[1].splitlines()
    assert suite.startswith("rayrl/Router-v0  router_standard  steady, bursty, ")
    assert suite.endswith(" – Synthetic traffic for replicas and observation as the experiment has them")


@pytest.mark.parametrize(("set_to", "spins"), [(None, "10000"), ("7", "7")])
def test_threads_spin_briefly_where_the_user_does_not_say_otherwise(set_to, spins):
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {} if set_to is None else {"GOMP_SPINCOUNT": set_to}
    code = (
        "import os, sys, rayrl.cli.main as cli; assert 'torch' not in sys.modules; "
        "cli.app = lambda: print(os.environ['GOMP_SPINCOUNT']); cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == [spins], done.stderr
