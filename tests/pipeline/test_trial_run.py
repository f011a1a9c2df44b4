"""Trials as the train stage runs them, without Tune: to the end, on after a stop, anew, and failing."""

import json
import math
import shutil
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from run_fixtures import prepare_run

from rayrl.errors import EnvError, PolicyError
from rayrl.evaluation.evaluator import evaluate
from rayrl.evaluation.latency import LATENCY_FILE
from rayrl.models.policy_folder import load_policy
from rayrl.pipeline.evaluation_plan import RESULTS_FILE, STOCHASTIC_FILE
from rayrl.pipeline.failure import Failure, read_failure, write_failure
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.train_stage import make_run
from rayrl.pipeline.trial import read_trial, reopen_trial
from rayrl.pipeline.trial_config import build_config
from rayrl.pipeline.trial_progress import progress_line
from rayrl.pipeline.trial_spec import TrialSpec, pretrain_folder, trials_of
from rayrl.storage.atomic import atomic_folder
from tests.algorithms.stateful_env import StatefulCartPole

EXPERIMENT = {
    "name": "cart",
    "seeds": [0],
    "env": {"id": "tests.algorithms.stateful_env:StatefulCartPole"},
    "conditions": ["no_pretrain"],
    "train": {
        "total_steps": 300,
        "envs_per_runner": 4,
        "gpus_per_learner": 0,
        "checkpoint_every_s": 0.001,
        "options": {
            "train_batch_size_per_learner": 64,
            "minibatch_size": 32,
            "num_epochs": 1,
            "model_config": {"fcnet_hiddens": [8]},
        },
    },
}
SPEC = TrialSpec("mlp_baseline", "no_pretrain", 0)


class Broken(StatefulCartPole):
    def step(self, action):
        raise RuntimeError("the pole fell off")


pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def prepare(tmp_path):
    """Prepares the run folder for the experiment with some sections of ``train`` and ``env`` replaced."""

    def make(name="run", env=None, **train) -> RunFolder:
        values = {**EXPERIMENT, "train": EXPERIMENT["train"] | train, "env": env or EXPERIMENT["env"]}
        return prepare_run(tmp_path / name, values)

    return make


def train(
    folder: RunFolder, spec: TrialSpec = SPEC, *, stop_after: int | None = None
) -> tuple[bool, list[int]]:
    """Trains a trial; whether it is done, and the steps of its iterations."""
    steps: list[int] = []
    done = make_run(folder, spec).train(
        lambda result: steps.append(result["num_env_steps_sampled_lifetime"]),
        lambda: stop_after is not None and len(steps) >= stop_after,
    )
    return done, steps


def weights_of(folder: RunFolder) -> dict[str, np.ndarray]:
    network = load_policy(SPEC.folder(folder) / "policy").network
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def lines_of(folder: RunFolder) -> list[dict]:
    text = (SPEC.folder(folder) / "progress.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def without_timings(lines: list[dict]) -> list[dict]:
    for line in lines:
        del line["seconds"], line["learner"]["seconds"]
    return lines


def test_waiting_is_what_took_longer_than_the_work():
    result = {
        "num_env_steps_sampled_lifetime": 64,
        "training_iteration": 1,
        "time_this_iter_s": 4.0,
        "env_runners": {"episode_return_mean": 1.0, "episode_len_mean": 9.0, "sample_seconds": 1.0},
        "learners": {"default_policy": {"seconds": 1.5}},
        # The learner's own clock may be a little ahead.
        "timers": {"sampling_seconds": 1.25, "update_seconds": 1.4},
    }
    seconds = {"sample": 1.0, "rollout_wait": 0.25, "learn": 1.5, "learner_wait": 0.0, "total": 4.0}
    assert progress_line(result)["seconds"] == seconds


def test_it_ends_at_the_first_multiple_of_its_batch_past_the_total(prepare):
    folder = prepare()
    assert make_run(folder, SPEC).reason_to_run() is not None
    assert train(folder) == (True, [64, 128, 192, 256, 320])
    state = read_trial(folder, "mlp_baseline", "no_pretrain", 0)
    assert (state.state, state.step, state.total_steps, state.resumed_from) == ("finished", 320, 300, ())
    assert make_run(folder, SPEC).reason_to_run() is None
    assert [line["step"] for line in lines_of(folder)] == [64, 128, 192, 256, 320]
    assert len(list(SPEC.folder(folder).glob("checkpoints/step_*"))) == 2
    assert list(SPEC.folder(folder).glob("tensorboard/events.*"))


def test_a_stopped_trial_goes_on_as_if_it_had_not_been(prepare):
    whole, parts = prepare("whole"), prepare("parts")
    train(whole)
    assert train(parts, stop_after=2) == (False, [64, 128])
    assert read_trial(parts, "mlp_baseline", "no_pretrain", 0).state == "stopped"
    assert train(parts) == (True, [192, 256, 320])
    assert read_trial(parts, "mlp_baseline", "no_pretrain", 0).resumed_from == (128,)
    assert read_trial(parts, "mlp_baseline", "no_pretrain", 0).exact
    for name, value in weights_of(whole).items():
        np.testing.assert_array_equal(value, weights_of(parts)[name], err_msg=name)
    assert without_timings(lines_of(whole)) == without_timings(lines_of(parts))


def evaluations_of(folder: RunFolder, spec: TrialSpec = SPEC) -> list[dict]:
    return [json.loads(line) for line in (spec.folder(folder) / "evaluations.jsonl").read_text().splitlines()]


def test_evaluations_in_training_change_nothing_and_go_on_after_a_stop(prepare):
    whole, parts, without = (
        prepare("whole", evaluate_every=100),
        prepare("parts", evaluate_every=100),
        prepare(),
    )
    for folder in (whole, without):
        train(folder)
    train(parts, stop_after=2)
    # What an iteration after the newest checkpoint left.
    file = SPEC.folder(parts) / "evaluations.jsonl"
    file.write_text(file.read_text() + '{"step": 192, "seeds": [], "metrics": {}}\n{"st')
    train(parts)
    # Iterations end at 64, 128, 192, 256 and 320: those that pass 100, 200 and 300, and before the first.
    assert [line["step"] for line in evaluations_of(whole)] == [0, 128, 256, 320]
    assert evaluations_of(whole) == evaluations_of(parts)
    assert [len(line["metrics"]["episode_return"]) for line in evaluations_of(whole)] == [20] * 4
    for name, value in weights_of(whole).items():
        np.testing.assert_array_equal(value, weights_of(without)[name], err_msg=name)


def test_evaluations_are_of_the_episodes_that_the_evaluation_names(prepare):
    folder = prepare(evaluate_every=300, evaluate_episodes=3)
    train(folder)
    last = evaluations_of(folder)[-1]
    result = evaluate(str(SPEC.folder(folder) / "policy"), folder.experiment().env, episodes=3)
    assert last["seeds"] == list(result.seeds)
    assert last["metrics"]["episode_return"] == list(result.metrics["episode_return"])


def test_iterations_after_the_newest_checkpoint_are_forgotten(prepare):
    folder = prepare()
    train(folder, stop_after=2)
    file = SPEC.folder(folder) / "progress.jsonl"
    lost = lines_of(folder)[-1] | {"step": 192, "iteration": 3}
    file.write_text(file.read_text() + json.dumps(lost) + '\n{"step": 25')
    train(folder)
    assert [line["step"] for line in lines_of(folder)] == [64, 128, 192, 256, 320]


def test_a_longer_training_adds_only_what_is_missing(prepare):
    train(prepare())
    longer = prepare(total_steps=400)
    assert "total_steps" in make_run(longer, SPEC).reason_to_run()
    assert train(longer) == (True, [384, 448])


def test_a_shorter_training_ends_where_it_says(prepare):
    train(prepare())
    # Checkpoints of steps 256 and 320 are there: the former is within the new length, but not beyond 128.
    assert train(prepare(total_steps=250)) == (True, [])
    assert [line["step"] for line in lines_of(prepare())] == [64, 128, 192, 256]
    shorter = prepare(total_steps=100)
    assert train(shorter) == (True, [64, 128])
    state = read_trial(shorter, "mlp_baseline", "no_pretrain", 0)
    assert (state.step, state.total_steps, state.resumed_from, state.exact) == (128, 100, (), True)
    assert [line["step"] for line in lines_of(shorter)] == [64, 128]


def test_other_options_start_the_trial_anew(prepare):
    train(prepare())
    options = EXPERIMENT["train"]["options"] | {"lr": 0.01}
    folder = prepare(options=options, total_steps=64)
    assert train(folder) == (True, [64])
    assert [line["step"] for line in lines_of(folder)] == [64]


def leave_results(folder: RunFolder) -> None:
    for name in (RESULTS_FILE, STOCHASTIC_FILE, LATENCY_FILE):
        (SPEC.folder(folder) / name).write_text("{}")


def outcome_of(folder: RunFolder) -> set[str]:
    names = ("policy", "manifest.json", RESULTS_FILE, STOCHASTIC_FILE, LATENCY_FILE)
    return {name for name in names if (SPEC.folder(folder) / name).exists()}


@pytest.mark.parametrize("changed", [{"lr": 0.01}, {}], ids=["anew", "on"])
def test_what_it_came_to_before_is_gone_before_it_trains_again(prepare, changed):
    train(prepare())
    leave_results(prepare())
    write_failure(SPEC.folder(prepare()), Failure(name=SPEC.name, kind="error", error="no"))
    again = prepare(options=EXPERIMENT["train"]["options"] | changed, total_steps=400)
    assert train(again, stop_after=0) == (False, [])
    assert outcome_of(again) == set()
    assert read_failure(SPEC.folder(again)) is None
    assert read_trial(again, "mlp_baseline", "no_pretrain", 0).state == "stopped"
    train(again)
    assert outcome_of(again) == {"policy", "manifest.json"}


def test_killed_while_that_is_removed_it_is_not_done(prepare, monkeypatch):
    train(prepare())
    leave_results(prepare())
    longer = prepare(total_steps=400)

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rayrl.pipeline.trial_outcome.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            train(longer)
    assert make_run(prepare(), SPEC).reason_to_run() == "it has not finished yet"
    assert train(prepare()) == (True, [])
    assert outcome_of(prepare()) == {"policy", "manifest.json"}


def test_a_trial_that_is_to_train_again_is_not_done_from_then_on(prepare):
    train(prepare())
    reopen_trial(prepare(total_steps=400), *astuple(SPEC))
    assert read_trial(prepare(), "mlp_baseline", "no_pretrain", 0).state == "stopped"
    # It was a mistake: nothing is trained again.
    assert train(prepare()) == (True, [])
    assert read_trial(prepare(), "mlp_baseline", "no_pretrain", 0).state == "finished"


@pytest.mark.parametrize("stop_after", [2, None])
def test_a_damaged_state_is_written_anew(prepare, stop_after):
    folder, whole = prepare(), prepare(name="whole")
    train(whole)
    train(folder, stop_after=stop_after)
    file = SPEC.folder(folder) / "trial.json"
    file.write_text("x")
    assert read_trial(folder, *astuple(SPEC)) is None
    if stop_after is None:
        assert make_run(folder, SPEC).reason_to_run() == "trial.json is missing or damaged"
    finished, _ = train(folder)
    assert finished
    assert read_trial(folder, *astuple(SPEC)).state == "finished"
    assert make_run(folder, SPEC).reason_to_run() is None
    weights = Path("policy", "weights.safetensors")
    assert (SPEC.folder(folder) / weights).read_bytes() == (SPEC.folder(whole) / weights).read_bytes()


def test_a_checkpoint_that_was_not_finished_is_not_used(prepare):
    folder = prepare()
    train(folder, stop_after=2)
    half = SPEC.folder(folder) / "checkpoints" / "step_000000000192"
    with atomic_folder(half, "a checkpoint") as temporary:
        left_by_a_kill = temporary
    shutil.copytree(half, left_by_a_kill)
    shutil.rmtree(half)
    assert train(folder) == (True, [192, 256, 320])
    assert not left_by_a_kill.exists()


def test_an_environment_that_keeps_raising_is_told_with_its_traceback(prepare):
    folder = prepare(env={"id": "tests.pipeline.test_trial_run:Broken"})
    with pytest.raises(EnvError, match="the pole fell off") as error:
        train(folder)
    make_run(folder, SPEC).fail(str(error.value))
    state = read_trial(folder, "mlp_baseline", "no_pretrain", 0)
    assert state.state == "failed"
    assert "in step" in state.error


def test_a_trial_starts_from_its_seeds_pretrained_policy(prepare):
    source = prepare("source")
    train(source)
    folder = prepare("warm")
    spec = TrialSpec("mlp_baseline", "with_pretrain", 0)
    policy = pretrain_folder(folder, "mlp_baseline", 0)
    policy.mkdir(parents=True)
    (SPEC.folder(source) / "policy").rename(policy / "policy")
    # A learning rate of nothing leaves the weights as they were given.
    still = EXPERIMENT["train"]["options"] | {"lr": 0.0}
    folder = prepare("warm", options=still, total_steps=64)
    train(folder, spec)
    given = load_policy(policy / "policy").network.state_dict()
    learned = load_policy(spec.folder(folder) / "policy").network.state_dict()
    for name, value in given.items():
        if not name.startswith("normalizer"):
            np.testing.assert_array_equal(value.numpy(), learned[name].numpy(), err_msg=name)


def test_a_trial_that_is_held_goes_on_as_if_it_had_not_been_stopped(prepare):
    held = EXPERIMENT["train"]["options"] | {
        "kl_ref": {"initial": 0.2, "decay_steps": 200},
        "critic_warmup_updates": 1,
        "temperature": {"base": 1.2, "signals": {}},
        "stabilization": {"steps": 100},
        "model_config": {"fcnet_hiddens": [8], "normalize_observations": True},
    }
    source = prepare("source", options=held, total_steps=64)
    train(source)  # from scratch, and so without what is for trials that start from a policy
    warm = TrialSpec("mlp_baseline", "with_pretrain", 0)
    lines = []
    for name, stops in (("whole", (None,)), ("parts", (2, None))):
        folder = prepare(name, options=held, total_steps=250)
        home = pretrain_folder(folder, "mlp_baseline", 0)
        home.mkdir(parents=True)
        shutil.copytree(SPEC.folder(source) / "policy", home / "policy")
        for stop_after in stops:
            train(folder, warm, stop_after=stop_after)
        assert read_trial(folder, "mlp_baseline", "with_pretrain", 0).exact
        text = (warm.folder(folder) / "progress.jsonl").read_text()
        lines.append(without_timings([json.loads(line) for line in text.splitlines()]))
    assert lines[0] == lines[1]
    assert [line["step"] for line in lines[0]] == [64, 128, 192, 256]
    assert lines[0][0]["temperature"]["current"] == 1.2
    assert {line["stabilization_steps"] for line in lines[0]} == {100}
    coefficients = [line["learner"]["curr_kl_ref_coeff"] for line in lines[0]]
    # Read before each update, at the steps sampled by then.
    assert coefficients == pytest.approx([0.2 * (1 - step / 200) for step in (64, 128, 192)] + [0.0])
    assert lines[0][-1]["learner"]["kl_ref"] > 0


def test_a_trial_that_ends_itself_is_done_and_says_why(prepare):
    options = EXPERIMENT["train"]["options"] | {"target_kl": 1e-9, "target_kl_action": "stop_training"}
    folder = prepare(options=options)
    assert train(folder) == (True, [64])
    state = read_trial(folder, "mlp_baseline", "no_pretrain", 0)
    assert (state.state, state.step) == ("finished", 64)
    assert "target_kl is 1e-09 with target_kl_action: stop_training" in state.stop_reason
    assert len(state.warnings) == 1
    assert make_run(folder, SPEC).reason_to_run() is None
    # A longer training ends there as well: what its options say has not changed.
    assert train(prepare(options=options, total_steps=600)) == (True, [])


def test_how_often_the_environment_raised_is_warned_of_also_after_a_resume(prepare):
    folder = prepare(env={"id": "tests.pipeline.faulty_envs:Shaky"}, total_steps=1000)
    told = []
    for stop_after in (8, math.inf):
        failures = []
        make_run(folder, SPEC).train(
            lambda result, failures=failures: failures.append(result["env_runners"]["env_failures"]),
            lambda failures=failures, stop_after=stop_after: len(failures) >= stop_after,
        )
        told.append(sum(failures))
    assert min(told) > 0
    (warning,) = read_trial(folder, "mlp_baseline", "no_pretrain", 0).warnings
    assert warning.startswith(f"the environment raised {sum(told):.0f} times, and its open episodes")
    assert "train.options.max_env_failures (10)" in warning


def test_a_pretrained_policy_of_another_architecture_is_refused(prepare):
    source = prepare("source")
    train(source)
    other = EXPERIMENT["train"]["options"] | {"model_config": {"fcnet_hiddens": [16]}}
    folder = prepare("warm", options=other)
    home = pretrain_folder(folder, "mlp_baseline", 0)
    home.mkdir(parents=True)
    (SPEC.folder(source) / "policy").rename(home / "policy")
    with pytest.raises(PolicyError, match="encoder"):
        train(folder, TrialSpec("mlp_baseline", "with_pretrain", 0))


def test_trials_are_ordered_seed_by_seed(prepare):
    folder = prepare()
    experiment = folder.experiment().model_copy(
        update={"seeds": (3, 4), "conditions": ("no_pretrain", "with_pretrain")}
    )
    assert [spec.name for spec in trials_of(experiment)] == [
        "mlp_baseline-no_pretrain-seed_3",
        "mlp_baseline-with_pretrain-seed_3",
        "mlp_baseline-no_pretrain-seed_4",
        "mlp_baseline-with_pretrain-seed_4",
    ]


@pytest.mark.parametrize(("gpus", "learners", "each"), [(0, 0, 0), (1, 0, 1), (1, 2, 0), (2, 2, 1)])
def test_gpus_are_taken_where_there_is_one_for_each_learner(prepare, gpus, learners, each):
    experiment = prepare(gpus_per_learner="auto", learners=learners).experiment()
    assert build_config(experiment, SPEC, run_name="", gpus=gpus).num_gpus_per_learner == each
