import json

import numpy as np
import pytest

from rayrl.errors import IntegrityError, RunError
from rayrl.report.run_reader import read_run
from tests.report.run_folder import (
    write_demonstrators,
    write_experiment,
    write_json,
    write_run,
    write_trial,
)


def test_a_complete_run(tmp_path):
    run = read_run(write_run(tmp_path))
    assert run.problems == ()
    assert (run.experiment.name, run.experiment.env.id) == ("router-warm-start", "rayrl/Router-v0")
    assert run.config["train"]["options"] == {"lr": 3e-4}
    assert [(t.condition, t.seed) for t in run.trials] == [
        (condition, seed) for condition in ("no_pretrain", "with_pretrain") for seed in (0, 1, 2)
    ]
    trial = run.trials[0]
    assert trial.state.step == 100_352
    assert trial.evaluation.actor.provenance == {"seed": 0}
    np.testing.assert_array_equal(trial.curve["step"][:2], [2048, 4096])
    assert np.isnan(trial.curve["episode_return_mean"][0])
    assert [p.summary.ceiling_accuracy for p in run.pretraining] == [0.89] * 3
    assert set(run.demonstrators) == {"random", "round_robin", "join_shortest_work", "least_outstanding"}
    assert run.dataset.extra.demonstrators["least_outstanding"]["episodes"] == 8
    assert run.environment.hardware["cpus"] == 2
    assert run.versions["ray"] == "2.60.0"


def test_what_is_missing_is_named_and_the_rest_is_read(tmp_path):
    write_experiment(tmp_path)
    run = read_run(tmp_path)
    assert [len(t.curve) for t in run.trials] == [0] * 6
    assert set(run.problems) == {
        "The hardware is not recorded.",
        "No demonstrations were collected.",
        *(f"mlp_baseline/pretrain/seed_{seed}: pretraining is not done." for seed in range(3)),
        *(f"mlp_baseline/no_pretrain/seed_{seed}: never started." for seed in range(3)),
        *(f"mlp_baseline/with_pretrain/seed_{seed}: never started." for seed in range(3)),
        "The demonstrator join_shortest_work is not evaluated.",
        "The demonstrator least_outstanding is not evaluated.",
        "The demonstrator random is not evaluated.",
    }


def test_finished_policies_without_results_are_named(tmp_path):
    write_run(tmp_path)
    for part in ("no_pretrain", "pretrain"):
        (tmp_path / "mlp_baseline" / part / "seed_1" / "eval_results.json").unlink()
    assert set(read_run(tmp_path).problems) == {
        "mlp_baseline/no_pretrain/seed_1: the policy is not evaluated.",
        "mlp_baseline/pretrain/seed_1: the policy is not evaluated.",
    }


def test_results_of_an_earlier_training_are_left_out_and_named(tmp_path):
    write_run(tmp_path)
    failure = {"name": "mlp_baseline-no_pretrain-seed_0", "kind": "lost", "error": "its processes were lost"}
    for part in ("no_pretrain", "pretrain"):  # the trial finished once, with other options, and then failed
        write_json(tmp_path / "mlp_baseline" / part / "seed_0" / "failure.json", failure)
    write_trial(tmp_path, "with_pretrain", 1, state="stopped")
    file = tmp_path / "mlp_baseline" / "with_pretrain" / "seed_2" / "policy" / "policy.json"
    write_json(file, {"weights_sha256": "0" * 64})
    run = read_run(tmp_path)
    trials = {trial.name.removeprefix("mlp_baseline/"): trial for trial in run.trials}
    left_out = ["no_pretrain/seed_0", "with_pretrain/seed_1", "with_pretrain/seed_2"]
    assert [name for name, trial in trials.items() if trial.evaluation is None] == left_out
    assert trials["no_pretrain/seed_0"].policy is None
    assert [policy.evaluation is None for policy in run.pretraining] == [True, False, False]
    of_before = "is not done: its results are of an earlier training, and left out."
    assert set(run.problems) == {
        f"mlp_baseline/pretrain/seed_0 {of_before}",
        f"mlp_baseline/no_pretrain/seed_0 {of_before}",
        f"mlp_baseline/with_pretrain/seed_1 {of_before}",
        "mlp_baseline/with_pretrain/seed_2: the results are not of the weights that are there now; left out.",
    }


def test_what_is_damaged_is_named(tmp_path):
    write_run(tmp_path)
    trial = tmp_path / "mlp_baseline" / "no_pretrain" / "seed_0"
    (trial / "trial.json").write_text("{")
    (trial / "eval_results.json").write_text('{"format_version": "9"}')
    with (trial / "progress.jsonl").open("a") as file:
        file.write('{"step": 1')
    (tmp_path / "environment.json").write_text(json.dumps({"versions": 3}))
    run = read_run(tmp_path)
    assert run.trials[0].state is None
    assert run.trials[0].evaluation is None
    assert len(run.trials[0].curve) == 49
    starts = ("mlp_baseline/no_pretrain/seed_0/trial.json is damaged: it is not valid JSON",
              "mlp_baseline/no_pretrain/seed_0/eval_results.json is damaged: format version '9'",
              "mlp_baseline/no_pretrain/seed_0/progress.jsonl: 1 of its lines could not be read",
              "environment.json is damaged: versions = 3")  # fmt: skip
    assert len(run.problems) == 4
    assert all(any(problem.startswith(start) for problem in run.problems) for start in starts)


def test_without_an_experiment_there_is_no_run(tmp_path):
    with pytest.raises(RunError, match="there is no run in this folder"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"name": "x"}'])
def test_of_a_damaged_experiment_nothing_can_be_reported(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"config\.json"):
        read_run(tmp_path)


def test_a_run_without_pretraining_needs_no_demonstrations(tmp_path):
    write_experiment(tmp_path, conditions=["no_pretrain"], collect={"demonstrators": {}, "steps": 1})
    run = read_run(tmp_path)
    assert run.pretraining == ()
    assert not any("/pretrain/" in text or "emonstrations" in text for text in run.problems)


@pytest.mark.parametrize(
    ("report", "means", "reference"),
    [
        ({}, {"random": 0.0, "least_outstanding": 1.0, "other": 2.0}, "least_outstanding"),
        ({"reference": "other"}, {"random": 0.0, "least_outstanding": 1.0, "other": 2.0}, "other"),
        ({"reference": "absent"}, {"random": 0.0, "least_outstanding": 1.0}, "least_outstanding"),
        ({}, {"random": 0.0, "minor": 1.0, "major": 2.0}, "major"),
        ({}, {"random": 0.0}, None),
    ],
)
def test_the_reference(tmp_path, report, means, reference):
    shares = {"demonstrators": {"minor": 1.0, "major": 3.0}}
    write_experiment(tmp_path, report=report, collect=shares)
    write_demonstrators(tmp_path, **means)
    assert read_run(tmp_path).reference == reference
