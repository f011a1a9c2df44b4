"""An experiment that is taught by replays, from the file to the report."""

import csv
import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from rayrl.errors import ConfigError, DataError
from rayrl.experience.dataset import open_dataset
from rayrl.pipeline.execution import run_unit
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.local import local_runner
from rayrl.pipeline.preflight import check_demonstrators
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.stages import plan
from rayrl.report.run_reader import read_run
from rayrl.report.sections.verdict import SECTION as VERDICT
from rayrl.report.sections.warnings import warnings_of
from rayrl.report.steps_to_target import Target, steps_to_target

EXPERIMENT = """
name: by-replays
seeds: [0]
env: {id: rayrl/MineMaze-v0, config: {categories: {very_simple: 1}, observations: [game_state]}}
collect: {replays: recorded}
pretrain: {epochs: 2, batch_size: 8}
train:
  total_steps: 64
  envs_per_runner: 4
  options: {train_batch_size_per_learner: 64, minibatch_size: 32, num_epochs: 1}
evaluate: {episodes: 3, latency: false}
"""


@pytest.fixture
def experiment(tmp_path):
    level = {"category": "very_simple", "content": ["S.E", "..."]}
    (tmp_path / "recorded").mkdir()
    for name in ("planner", "ann"):
        replays = [
            {"id": f"{name}{k}", "actions": "D" * k + "U" * k + "RR", "level": level, "ended": "success"}
            | {"demonstrator": name}
            for k in range(2)
        ]
        document = {"format": "rayrl-replays", "version": 1, "env": "rayrl/MineMaze-v0", "replays": replays}
        (tmp_path / "recorded" / f"{name}.json").write_text(json.dumps(document))
    file = tmp_path / "maze.yaml"
    file.write_text(EXPERIMENT)
    return file


def test_from_a_folder_of_replays_to_the_report(experiment, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "rayrl.cli.main", "run", experiment, "--local", "--run-dir", run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    dataset = open_dataset(run / "collect")
    # Two and four steps of each of the two.
    assert dataset.num_steps == 12
    assert [*dataset.manifest.extra["demonstrators"]] == ["ann", "planner"]
    assert not [path for path in run.iterdir() if path.name.endswith(".tmp")]
    assert load_experiment(run / "config.json").collect.replays.is_relative_to(run / "inputs")
    data = read_run(run)
    assert (data.teachers, data.demonstrated_steps, data.reference) == (
        {"ann": 6, "planner": 6},
        12,
        "planner",
    )
    (found,) = steps_to_target(data, Target(9.0))
    assert found.demonstrations == 12
    assert any("cloned from replays of ann and planner" in str(block) for block in VERDICT.build(data))
    assert "No replay ever takes action 0 and 4: add to collect.replays" in warnings_of(data)[0]
    with (run / "report" / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Two trials, a pretrained policy, the planner and random play three episodes each.
    assert len(rows) == 15
    # Killed between its dataset and its manifest, or half way, the stage leaves the same.
    (run / "stages" / "collect" / "manifest.json").unlink()
    (run / ".collect.0badcafe.tmp").mkdir()
    folder = RunFolder(run)
    loaded = folder.experiment()
    assert run_unit(plan(loaded)[0], folder, loaded)
    assert open_dataset(run / "collect").sha256 == dataset.sha256
    assert not (run / ".collect.0badcafe.tmp").exists()


def test_where_so_few_gave_one_replay_each_that_none_is_held_out_it_is_warned_of(experiment, tmp_path):
    level = {"category": "very_simple", "content": ["S.E", "..."]}
    replays = [
        {"id": f"of{k}", "actions": "D" * k + "U" * k + "RR", "level": level, "ended": "success"}
        | {"demonstrator": f"person{k}"}
        for k in range(5)
    ]
    for file in (tmp_path / "recorded").iterdir():
        file.unlink()
    document = {"format": "rayrl-replays", "version": 1, "env": "rayrl/MineMaze-v0", "replays": replays}
    (tmp_path / "recorded" / "people.json").write_text(json.dumps(document))
    folder, printed = RunFolder(tmp_path / "run"), io.StringIO()
    loaded = load_experiment(experiment)
    folder.prepare(loaded, invocation_of(experiment, (), smoke=False))
    view = RunView(Console(file=printed, highlight=False, soft_wrap=True))
    collect, pretrain, *_ = plan(folder.experiment())
    with local_runner(folder, folder.experiment(), view) as run_one:
        assert run_one(collect)
        assert run_one(pretrain)
    summary = json.loads((folder.path / "mlp_baseline/pretrain/seed_0/summary.json").read_text())
    assert "seed 0: nothing is held out, since pretrain.val_fraction" in printed.getvalue()
    (warning,) = summary["warnings"]
    assert warning.startswith("nothing is held out")
    assert (summary["val_loss"], summary["agreement"]["demonstrators"]) == (None, {})


def test_what_is_refused_before_anything_is_submitted(experiment, tmp_path):
    check_demonstrators(load_experiment(experiment))
    other = ["env={id: CartPole-v1}"]
    with pytest.raises(ConfigError, match=r"replays are of rayrl/MineMaze-v0, and env.id is CartPole-v1"):
        check_demonstrators(load_experiment(experiment, other))
    with pytest.raises(ConfigError, match=r"collect.replays = .*names planner; leave one of the two out"):
        load_experiment(experiment, ["collect.demonstrators={planner: 1}"])
    (tmp_path / "recorded" / "more.json").write_text("[]")
    with pytest.raises(DataError, match=r"more.json: is no file of replays"):
        check_demonstrators(load_experiment(experiment))


def test_replays_keep_the_environments_own_mix_out_and_a_smoke_run_takes_few(experiment):
    loaded = load_experiment(experiment, ["env={id: rayrl/Router-v0}"])
    assert loaded.collect.demonstrators == {}
    assert load_experiment(experiment, smoke=True).collect.first_replays == 32
