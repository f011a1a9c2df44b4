"""Trials that keep replay: killed and resumed, started from a cloned policy, and with their buffer saved."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from replay_fixtures import KILLED, SPEC, lines_of, train, weights_of

from rayrl.errors import ConfigError
from rayrl.experience.replay import ReplayBuffer
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline.preflight import check_algorithm, check_environment
from rayrl.pipeline.trial_config import network_config
from rayrl.pipeline.trial_spec import TrialSpec, pretrain_folder

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.mark.chaos
def test_a_killed_trial_goes_on_bit_by_bit(replay_trial):
    whole, killed = replay_trial("whole"), replay_trial("killed")
    assert train(whole)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(killed.path)], check=False, cwd=Path.cwd())
    assert ended.returncode == -signal.SIGKILL
    assert not (SPEC.folder(killed) / "policy").exists()
    assert list(SPEC.folder(killed).glob("checkpoints/step_*/replay_buffer"))
    assert train(killed)
    for name, value in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(killed)[name], value)
    lines = [lines_of(folder) for folder in (whole, killed)]
    names = ("critic_loss", "policy_loss", "alpha", "td_error", "q_mean")
    told = [
        [(line["step"], *(line["learner"].get(name) for name in names)) for line in each] for each in lines
    ]
    assert told[0] == told[1]
    assert told[0][-1][1] is not None


@pytest.mark.parametrize("mode", ["full", "reference"])
def test_a_stopped_trial_saves_its_buffer_and_goes_on(replay_trial, mode):
    folder = replay_trial(train={"replay": {"replay_in_checkpoint": mode, "capacity": 250}})
    assert not train(folder, stop_after=2)
    path = SPEC.folder(folder) / "replay_buffer"
    assert len(ReplayBuffer.load(path)) == 192
    assert train(folder)
    saved = ReplayBuffer.load(path)
    assert len(saved) == 250
    assert saved.sample_fragments(4, 5).obs.shape == (4, 5, 4)
    line = lines_of(folder)[-1]
    assert line["replay"]["fill"] == 1.0
    assert line["seconds"]["replay"] > 0


def test_a_buffer_is_not_saved_where_it_is_not_wanted(replay_trial):
    folder = replay_trial(train={"replay": {"save_replay_buffer": False, "replay_in_checkpoint": "none"}})
    assert train(folder)
    assert not (SPEC.folder(folder) / "replay_buffer").exists()


def test_sac_starts_from_a_cloned_policy_of_box_actions(replay_trial, caplog):
    folder = replay_trial(
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


def test_dqn_from_a_cloned_policy_is_refused(replay_trial):
    folder = replay_trial(
        algorithm="dqn", conditions=["with_pretrain"], collect={"demonstrators": {"any": 1}, "steps": 64}
    )
    with pytest.raises(ConfigError, match="cannot start from a cloned policy") as raised:
        check_algorithm(folder.experiment())
    assert "offline_fraction" in raised.value.remedy
