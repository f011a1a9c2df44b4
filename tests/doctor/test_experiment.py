"""What an experiment needs, against what is here."""

import pytest

from rayrl.doctor.experiment import PROCESS_BYTES, RAY_BYTES, check_experiment, judge_memory

EXPERIMENT = """
name: small
seeds: [0, 1, 2]
env: {id: CartPole-v1}
conditions: [no_pretrain]
train: {gpus_per_learner: 0}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(EXPERIMENT)
    return path


def found(file, *overrides, **options):
    return {finding.check: finding for finding in check_experiment(file, overrides, **options)}


def test_an_experiment_that_fits(file):
    findings = found(file, "train.env_runners=1", "train.cpus_per_env_runner=0")
    assert {name: finding.state for name, finding in findings.items()} == {
        "experiment": "ok",
        "environment": "ok",
        "stage train": "ok",
        "stage evaluate": "ok",
        "stage report": "ok",
        "room": "ok",
        "trials' memory": "ok",
    }
    assert findings["experiment"].facts["trials"] == 3
    assert "stages train, evaluate, report" in findings["experiment"].message
    assert "a trial asks for 1 CPU in 2 processes" in findings["room"].message


@pytest.mark.parametrize(
    ("override", "check", "message"),
    [
        ("env.id=CartPol-v1", "environment", "env CartPol-v1: is not a registered environment"),
        ("train.options={lrr: 1}", "stage train", "train.options: lrr: unknown option"),
        (
            "evaluate.suite=router_standard",
            "stage evaluate",
            "the suite 'router_standard' is for rayrl/Router-v0",
        ),
        ("train.gpus_per_learner=9", "room", "missing 9 GPUs"),
        ("architectures=[mlp]", "environment", "architectures: there is no architecture 'mlp'"),
        (
            "train.options={model_config: {conv_filters: [[8, 3, 1]]}}",
            "environment",
            "conv_filters are given",
        ),
    ],
)
def test_what_does_not_fit_is_a_problem_and_the_rest_is_looked_at_still(file, override, check, message):
    findings = found(file, override)
    assert findings[check].state == "problem"
    assert message in findings[check].message
    assert len(findings) == 7


def test_a_file_that_cannot_be_read_is_one_problem(file):
    findings = found(file, "train.total_step=1")
    assert {name: finding.state for name, finding in findings.items()} == {"experiment": "problem"}
    assert "did you mean 'total_steps'?" in findings["experiment"].message


def test_a_cluster_that_does_not_answer_is_not_asked_again(file):
    assert "room" not in found(file, address="http://127.0.0.1:9", answers=False)


def test_trials_that_need_more_memory_than_there_is():
    least = RAY_BYTES + 6 * PROCESS_BYTES
    assert judge_memory(processes=3, at_once=2, available=least).state == "ok"
    tight = judge_memory(processes=3, at_once=2, available=least - 1)
    assert tight.state == "warning"
    assert tight.facts["at_least"] == least
