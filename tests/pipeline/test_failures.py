"""A trial that fails for good, and pretraining that yields nothing: the others go on.

The same command tries just these again.
"""

import json

import pytest
from run_fixtures import prepare_run

from rayrl.errors import StageError
from rayrl.evaluation.latency import LATENCY_FILE
from rayrl.pipeline import train_stage
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.controller import require_all
from rayrl.pipeline.execution import run_unit, why_run
from rayrl.pipeline.failure import (
    FAILED,
    Failure,
    failed_in,
    headline,
    paragraphs,
    read_failure,
    write_failure,
)
from rayrl.pipeline.records import last_records
from rayrl.pipeline.stages import plan
from rayrl.pipeline.status import run_status
from rayrl.pipeline.trial import read_trial
from rayrl.report.run_reader import read_run
from rayrl.storage.manifest import read_manifest, write_manifest


def values(tmp_path, env, **changes):
    options = {"train_batch_size_per_learner": 64, "minibatch_size": 32, "num_epochs": 1}
    options["model_config"] = {"fcnet_hiddens": [4]}
    return {
        "name": "cart",
        "seeds": [0, 1],
        "env": env,
        "conditions": ["no_pretrain"],
        "train": {"total_steps": 128, "envs_per_runner": 4, "gpus_per_learner": 0, "options": options},
        "evaluate": {"episodes": 2},
    } | changes


@pytest.fixture
def run_all(tmp_path):
    """Runs what is not done of a run's units in this process; gives the names of those that ran."""

    def go(folder):
        experiment, ran = folder.experiment(), []
        for unit in plan(experiment):
            if why_run(unit, folder, experiment) is not None:
                assert run_unit(unit, folder, experiment)
                ran.append(unit.name)
        return ran

    return go


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_without_memory_fails_alone_and_is_tried_again(tmp_path, run_all):
    mended = tmp_path / "mended"
    env = {"id": "tests.pipeline.faulty_envs:Greedy", "config": {"mended": str(mended)}}
    folder = prepare_run(tmp_path / "run", values(tmp_path, env))
    assert run_all(folder) == ["train", "evaluate", "report"]

    trial = folder.path / "mlp_baseline" / "no_pretrain" / "seed_1"
    failure = read_failure(trial)
    assert failure.kind == "out_of_memory"
    assert "Unable to allocate" in failure.error
    assert "train.envs_per_runner (now 4)" in failure.error
    assert failure.resources.peak_memory_bytes > 50 * 2**20
    assert read_trial(folder, "mlp_baseline", "no_pretrain", 1).state == "failed"
    name = "mlp_baseline-no_pretrain-seed_1"
    assert list(failed_in(folder.stage("train"))) == [name]
    told = [record for record in last_records(folder.logs / "train.jsonl") if "event" in record]
    assert any(name in record["message"] for record in told if record["event"] == "warning")

    assert not (trial / "eval_results.json").exists()
    other = trial.with_name("seed_0")
    assert (other / "eval_results.json").exists()
    assert (other / LATENCY_FILE).exists()
    costs = read_manifest(other).extra
    assert costs["seconds"] > 0
    assert costs["peak_memory_bytes"] > 50 * 2**20
    assert (costs["cpus"], costs["gpus"], costs["gpu_hours"]) == (1.0, 0.0, 0.0)
    assert set(json.loads((folder.path / "all_results.json").read_text())) == {
        "mlp_baseline-no_pretrain-seed_0",
        "random",
    }
    assert [failure.name for failure in read_run(folder.path).failures] == [name]
    page = (folder.path / "report" / "report.html").read_text()
    assert page.index(">Failures<") < page.index(">What came out<")
    status = {unit.stage: unit for unit in run_status(folder).stages}
    assert (status["train"].state, status["evaluate"].state) == ("failed", "done")
    assert name in status["train"].detail

    before = (other / "manifest.json").stat().st_mtime_ns
    assert run_all(folder) == ["train"]  # it fails again, and nothing that builds on the others is done again
    mended.touch()
    assert run_all(folder) == ["train", "evaluate", "report"]
    assert (other / "manifest.json").stat().st_mtime_ns == before
    assert read_failure(trial) is None
    assert (trial / "eval_results.json").exists()
    assert failed_in(folder.stage("train")) == {}
    assert run_all(folder) == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_pretraining_that_yields_nothing_fails_what_would_start_from_it(tmp_path, run_all):
    both = {
        "conditions": ["no_pretrain", "with_pretrain"],
        "seeds": [0],
        "collect": {"demonstrators": {"random": 1}, "steps": 64},
        "pretrain": {"lr": 1e38, "epochs": 3},
    }
    folder = prepare_run(tmp_path / "run", values(tmp_path, {"id": "CartPole-v1"}, **both))
    assert run_all(folder) == ["collect", "pretrain-mlp_baseline", "train", "evaluate", "report"]
    home = folder.path / "mlp_baseline"
    assert "finite" in read_failure(home / "pretrain" / "seed_0").error
    failure = read_failure(home / "with_pretrain" / "seed_0")
    assert failure.kind == "no_pretraining"
    assert failure.error.startswith("its pretraining failed: ")
    assert not (home / "with_pretrain" / "seed_0" / "policy").exists()
    assert (home / "no_pretrain" / "seed_0" / "eval_results.json").exists()
    assert [failure.name for failure in read_run(folder.path).failures] == [
        "mlp_baseline-pretrain-seed_0",
        "mlp_baseline-with_pretrain-seed_0",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_pretraining_fails_at_once_where_nothing_could_go_on(tmp_path, run_all):
    warm = {"conditions": ["with_pretrain"], "pretrain": {"lr": 1e38, "epochs": 3}}
    warm["collect"] = {"demonstrators": {"random": 1}, "steps": 64}
    folder = prepare_run(tmp_path / "run", values(tmp_path, {"id": "CartPole-v1"}, **warm))
    with pytest.raises(Exception, match="finite"):
        run_all(folder)
    assert not folder.stage("train").exists()


def test_a_trial_that_failed_in_an_earlier_chunk_is_not_tried_in_the_next(tmp_path):
    chunked = values(tmp_path, {"id": "CartPole-v1"})
    chunked["train"]["chunks"] = {"size": 64}
    folder = prepare_run(tmp_path / "run", chunked)
    trial = folder.path / "mlp_baseline" / "no_pretrain" / "seed_1"
    write_failure(trial, Failure(name="mlp_baseline-no_pretrain-seed_1", kind="error", error="no", chunk=1))
    experiment = folder.experiment()
    for number, unit in enumerate(plan(experiment)[:2], 1):
        context = StageContext(experiment, folder, unit)
        found = dict(train_stage._failed_before(context, list(train_stage.trials_of(experiment))))
        assert [spec.seed for spec in found] == ([] if number == 1 else [1])


RAISED = """environment of worker 0: raised 4 times; the last time:
Traceback (most recent call last):
  File "walk.py", line 7, in step
OSError: the floor gives way

  mend the environment"""


def test_an_error_in_a_line():
    line = "environment of worker 0: raised 4 times; the last time: OSError: the floor gives way"
    assert headline(RAISED) == line
    assert headline("no memory\n  take less") == "no memory"
    assert headline("") == ""


def test_errors_in_paragraphs():
    assert paragraphs({"a": "no memory\n  take less", "b": RAISED}).splitlines() == [
        "  a: no memory",
        "      take less",
        "  b: environment of worker 0: raised 4 times; the last time:",
        "    Traceback (most recent call last):",
        '      File "walk.py", line 7, in step',
        "    OSError: the floor gives way",
        "      mend the environment",
    ]


def test_the_end_of_a_run_counts_pretrainings_and_trials(tmp_path):
    both = {"conditions": ["no_pretrain", "with_pretrain"], "collect": {"demonstrators": {"random": 1}}}
    folder = prepare_run(tmp_path / "run", values(tmp_path, {"id": "CartPole-v1"}, **both))
    require_all(folder)
    failed = {
        "pretrain-mlp_baseline": {"mlp_baseline-pretrain-seed_0": RAISED},
        "train": {"mlp_baseline-with_pretrain-seed_0": f"its pretraining failed: {headline(RAISED)}"},
    }
    for unit, errors in failed.items():
        write_manifest(
            folder.stage(unit), name=unit, inputs={}, options={}, outputs=[], extra={FAILED: errors}
        )
    with pytest.raises(StageError) as caught:
        require_all(folder)
    text = str(caught.value)
    assert text.startswith(
        "1 of 2 pretrainings failed, 1 of 4 trials failed:\n  mlp_baseline-pretrain-seed_0: env"
    )
    assert text.count("Traceback") == 1
