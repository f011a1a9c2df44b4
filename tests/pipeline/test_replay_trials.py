"""Trials that keep replay: killed and resumed, started from a cloned policy, and with their buffer saved."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from rayrl.errors import ConfigError
from rayrl.experience.replay import ReplayBuffer
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.preflight import check_algorithm, check_environment
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.train_stage import make_run
from rayrl.pipeline.trial_spec import TrialSpec, network_config, pretrain_folder

pytestmark = pytest.mark.usefixtures("ray_cluster")
SPEC = TrialSpec("mlp_baseline", "no_pretrain", 0)
STATEFUL = "tests.algorithms.stateful_env:StatefulCartPole"
OPTIONS = {
    "train_batch_size_per_learner": 16,
    "num_steps_sampled_before_learning_starts": 64,
    "gradient_steps_per_env_step": 0.25,
    "min_sample_timesteps_per_iteration": 96,
    "model_config": {"fcnet_hiddens": [8]},
}


@pytest.fixture
def prepare(tmp_path):
    def make(
        name="run", algorithm="sac", env="tests.algorithms.stateful_env:StatefulCartPole", **top
    ) -> RunFolder:
        values = {
            "name": "cart",
            "seeds": [0],
            "env": {"id": env},
            "conditions": ["no_pretrain"],
            "train": {
                "algorithm": algorithm,
                "total_steps": 300,
                "envs_per_runner": 4,
                "gpus_per_learner": 0,
                "checkpoint_every_s": 0.001,
                "replay": {"sampler": "prioritized", **top.pop("replay", {})},
                "options": OPTIONS,
            },
            **top,
        }
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(values))
        folder = RunFolder(tmp_path / name)
        folder.prepare(load_experiment(file), invocation_of(file, (), smoke=False))
        return folder

    return make


def train(folder: RunFolder, spec: TrialSpec = SPEC, stop_after: int | None = None) -> bool:
    results: list[dict] = []
    return make_run(folder, spec).train(
        results.append, lambda: stop_after is not None and len(results) >= stop_after
    )


def weights_of(folder: RunFolder) -> dict[str, np.ndarray]:
    network = load_policy(SPEC.folder(folder) / "policy").network
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


KILLED = """
import os, signal, sys
import ray
from pathlib import Path
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.train_stage import make_run
from rayrl.pipeline.trial_spec import TrialSpec

ray.init(address="local", include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
iterations = []

def report(result):
    iterations.append(result)
    if len(iterations) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

spec = TrialSpec("mlp_baseline", "no_pretrain", 0)
make_run(RunFolder(Path(sys.argv[1])), spec).train(report, lambda: False)
"""


@pytest.mark.chaos
def test_a_killed_trial_goes_on_bit_by_bit(prepare):
    whole, killed = prepare("whole"), prepare("killed")
    assert train(whole)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(killed.path)], check=False, cwd=Path.cwd())
    assert ended.returncode == -signal.SIGKILL
    assert not (SPEC.folder(killed) / "policy").exists()
    assert list(SPEC.folder(killed).glob("checkpoints/step_*/replay_buffer"))
    assert train(killed)
    for name, value in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(killed)[name], value)
    lines = [
        [json.loads(line) for line in (SPEC.folder(folder) / "progress.jsonl").read_text().splitlines()]
        for folder in (whole, killed)
    ]
    names = ("critic_loss", "policy_loss", "alpha", "td_error", "q_mean")
    told = [
        [(line["step"], *(line["learner"].get(name) for name in names)) for line in each] for each in lines
    ]
    assert told[0] == told[1]
    assert told[0][-1][1] is not None


@pytest.mark.parametrize("mode", ["full", "reference"])
def test_a_stopped_trial_saves_its_buffer_and_goes_on(prepare, mode):
    folder = prepare(replay={"replay_in_checkpoint": mode, "capacity": 250})
    assert not train(folder, stop_after=2)
    path = SPEC.folder(folder) / "replay_buffer"
    assert len(ReplayBuffer.load(path)) == 192
    assert train(folder)
    saved = ReplayBuffer.load(path)
    assert len(saved) == 250
    assert saved.sample_fragments(4, 5).obs.shape == (4, 5, 4)
    line = json.loads((SPEC.folder(folder) / "progress.jsonl").read_text().splitlines()[-1])
    assert line["replay"]["fill"] == 1.0
    assert line["seconds"]["replay"] > 0


def test_a_buffer_is_not_saved_where_it_is_not_wanted(prepare):
    folder = prepare(replay={"save_replay_buffer": False, "replay_in_checkpoint": "none"})
    assert train(folder)
    assert not (SPEC.folder(folder) / "replay_buffer").exists()


def test_sac_starts_from_a_cloned_policy_of_box_actions(prepare, caplog):
    folder = prepare(
        env="Pendulum-v1", conditions=["with_pretrain"], collect={"demonstrators": {"any": 1}, "steps": 64}
    )
    experiment, spec = folder.experiment(), TrialSpec("mlp_baseline", "with_pretrain", 0)
    spaces = check_environment(experiment)
    # What the pretrain stage clones: a squashed policy, and a value that SAC has no use for.
    config = network_config(experiment, "mlp_baseline", spaces.action)
    assert config.squash_actions
    cloned = ActorCriticNetwork(spaces.observation, spaces.action, config)
    start = pretrain_folder(folder, "mlp_baseline", 0) / "policy"
    save_policy(start, cloned, architecture="mlp_baseline", provenance={})
    with caplog.at_level("INFO"):
        assert train(folder, spec)
    assert "not used of the weights: value_encoder" in caplog.text
    # The first actions are the policy's own, and not uniform ones.
    line = json.loads((spec.folder(folder) / "progress.jsonl").read_text().splitlines()[-1])
    assert line["learner"]["gradient_steps"] > 0


def test_dqn_from_a_cloned_policy_is_refused(prepare):
    folder = prepare(
        algorithm="dqn", conditions=["with_pretrain"], collect={"demonstrators": {"any": 1}, "steps": 64}
    )
    with pytest.raises(ConfigError, match="cannot start from a cloned policy") as raised:
        check_algorithm(folder.experiment())
    assert "offline_fraction" in raised.value.remedy
