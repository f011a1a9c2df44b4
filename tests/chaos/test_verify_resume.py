"""`rayrl verify-resume` with its SIGKILLs: each algorithm, with workers and learners, goes on exactly."""

import json

import pytest
import yaml

from rayrl.cli.main import app
from rayrl.doctor.resume import verify_resume

pytestmark = pytest.mark.chaos

STATEFUL = "tests.algorithms.stateful_env:StatefulCartPole"
NETWORK = {"fcnet_hiddens": [16], "normalize_observations": True}
PPO = {
    "train_batch_size_per_learner": 128,
    "minibatch_size": 32,
    "num_epochs": 2,
    "normalize_rewards": True,
    "use_kl_loss": True,
    "model_config": NETWORK,
}
REPLAY = {
    "train_batch_size_per_learner": 16,
    "num_steps_sampled_before_learning_starts": 100,
    "min_sample_timesteps_per_iteration": 64,
    "model_config": NETWORK,
}
SHAPES = [(0, 0), (0, 1), (2, 1), (2, 2)]
"""Workers and learners."""


@pytest.fixture
def file(tmp_path):
    def write(algorithm="ppo", workers=0, learners=0, env=STATEFUL, conditions=("no_pretrain",), **train):
        options = PPO if algorithm == "ppo" else REPLAY
        if algorithm != "ppo" and learners:
            options = options | {"train_batch_size_per_learner": 16 // learners}
        path = tmp_path / "small.yaml"
        values = {
            "name": "small",
            "seeds": [3],
            "env": {"id": env},
            "conditions": list(conditions),
            "collect": {"demonstrators": {"random": 1}, "steps": 512},
            "train": {
                "algorithm": algorithm,
                "env_runners": workers,
                "learners": learners,
                "envs_per_runner": 4,
                "gpus_per_learner": 0,
                "cpus_per_env_runner": 0.2,
                "cpus_per_learner": 0.2,
                "options": options,
            }
            | ({} if algorithm == "ppo" else {"replay": {"cpus_per_replay_shard": 0.2}})
            | train,
        }
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def parts(diagnosis, stage):
    found = {finding.check: finding for finding in diagnosis.findings}
    return {check.removeprefix(f"{stage}: ") for check in found if check.startswith(stage)}


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "dqn"])
@pytest.mark.parametrize(
    ("workers", "learners"),
    [shape if shape == (0, 0) else pytest.param(*shape, marks=pytest.mark.slow) for shape in SHAPES],
)
def test_it_goes_on_exactly(file, algorithm, workers, learners):
    diagnosis = verify_resume(file(algorithm, workers, learners))
    assert diagnosis.healthy, [finding for finding in diagnosis.findings if finding.state == "problem"]
    expected = {"weights", "optimizer", "coefficients", "counters", "environments", "rollouts", "metrics"}
    assert parts(diagnosis, "train") == expected | (set() if algorithm == "ppo" else {"replay"})


def test_cloning_and_what_starts_from_it_go_on_exactly(file):
    diagnosis = verify_resume(file(conditions=["no_pretrain", "with_pretrain"]))
    assert diagnosis.healthy, [finding for finding in diagnosis.findings if finding.state == "problem"]
    assert parts(diagnosis, "pretrain") >= {"weights", "optimizer", "metrics"}
    assert parts(diagnosis, "train") >= {"weights", "optimizer", "metrics", "environments"}


def test_an_environment_without_a_state_goes_on_exactly_where_episodes_begin_anew(file):
    resets = {"reset_on_checkpoint": True, "checkpoint_every_iterations": 5}
    diagnosis = verify_resume(file(env="CartPole-v1", **resets))
    assert diagnosis.healthy, [finding for finding in diagnosis.findings if finding.state == "problem"]
    assert "new episodes begin with each checkpoint" in diagnosis.findings[0].message


def test_what_is_not_saved_is_named(file, capsys):
    path = str(file(save_optimizer_state=False))
    with pytest.raises(SystemExit) as ended:
        app(["verify-resume", path, "--json"])
    assert ended.value.code == 1
    found = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert found["train: weights"]["state"] == "problem"
    assert (found["optimizer"]["state"], found["optimizer"]["remedy"]) == (
        "warning",
        "set train.save_optimizer_state: true",
    )
    # Up to the checkpoint nothing differs, and then what is learned does.
    differing = " ".join(found["train: metrics"]["facts"]["differing"])
    assert "curve/1/" not in differing
    assert "curve/2/learner/" in differing
