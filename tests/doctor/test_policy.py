"""Whether a policy fits an experiment, by `rayrl policy check`."""

import json

import numpy as np
import pytest
import torch

from rayrl.doctor.policy import check_policy
from rayrl.envs.mine_maze.suite import ENV_ID
from rayrl.envs.spec import EnvSpec
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import MLPBaseline
from rayrl.models.policy_folder import save_policy
from rayrl.rollout.demo_plan import spaces_of
from rayrl.rollout.demos import collect

CART = EnvSpec(id="CartPole-v1")


def network_of(env=CART, **options):
    spaces = spaces_of(env)
    torch.manual_seed(1)
    return ActorCriticNetwork(spaces.observation, spaces.action, MLPBaseline(fcnet_hiddens=(8,), **options))


@pytest.fixture
def policy(tmp_path):
    def save(env=CART, rows=0, **options):
        network = network_of(env, **options)
        if rows:
            observations = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
            moments = network.normalizer.moments({"obs": torch.from_numpy(observations)})
            network.normalizer.update_from_moments(moments)
        save_policy(tmp_path / "policy", network, architecture="mlp_baseline", provenance={})
        return tmp_path / "policy"

    return save


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cart.yaml"
    path.write_text("name: cart\nenv: {id: CartPole-v1}\nconditions: [no_pretrain]\n")
    return path


def states(diagnosis):
    return {finding.check: finding.state for finding in diagnosis.findings}


def test_a_policy_that_fits(policy, file):
    said = []
    diagnosis = check_policy(policy(rows=50), file, say=said.append)
    assert diagnosis.healthy
    assert list(diagnosis.findings) == said
    found = {finding.check: finding for finding in said}
    assert found["weights"].facts["shapes"]["policy_head.linears.0.weight"] == [2, 8]
    assert found["normalizer"].message == "has the moments of 50 observations"
    # 512 steps of the random demonstrator; whatever the policy, it agrees with half of them.
    assert found["agreement"].facts["all"]["steps"] == 512
    assert found["agreement"].facts["all"]["value"] == pytest.approx(0.5, abs=0.1)
    assert found["agreement"].state == "warning"


def test_missing_moments_are_warned_of(policy, file):
    assert states(check_policy(policy(), file))["normalizer"] == "warning"
    assert states(check_policy(policy(normalize_observations=False), file))["normalizer"] == "ok"


def test_the_demonstrations_of_the_run_are_looked_at(policy, tmp_path):
    run = tmp_path / "run"
    collect("CartPole-v1", run / "collect", steps=96, envs=2)
    (run / "config.json").write_text(json.dumps({"name": "cart", "env": {"id": "CartPole-v1"}}))
    diagnosis = check_policy(policy(rows=5), run / "config.json")
    assert diagnosis.findings[-1].facts["all"]["steps"] == 96


def test_the_first_replays_are_looked_at_where_they_demonstrate(policy, tmp_path):
    maze = {"id": ENV_ID, "config": {"categories": {"simple": 1}, "observations": ["game_state"]}}
    level = {"category": "simple", "content": ["S*E", "..."]}
    # 40 replays of one step, of which 32 are enough.
    replays = [{"id": f"{k}", "actions": "D", "level": level, "demonstrator": "ann"} for k in range(40)]
    document = {"format": "rayrl-replays", "version": 1, "env": ENV_ID, "replays": replays}
    (tmp_path / "replays.json").write_text(json.dumps(document))
    file = tmp_path / "maze.yaml"
    file.write_text(json.dumps({"name": "maze", "env": maze, "collect": {"replays": "replays.json"}}))
    found = check_policy(policy(EnvSpec(**maze)), file).findings[-1]
    assert (found.check, found.facts["all"]["steps"]) == ("agreement", 32)
    assert found.facts["demonstrators"].keys() == {"ann"}
    document["replays"][0]["ended"] = "success"
    (tmp_path / "replays.json").write_text(json.dumps(document))
    found = check_policy(tmp_path / "policy", file).findings[-1]
    assert (found.check, found.state) == ("sample data", "problem")
    assert "ended = 'success', and its actions come to None" in found.message


def test_other_spaces_are_a_problem(policy, file):
    diagnosis = check_policy(policy(EnvSpec(id="Acrobot-v1")), file)
    assert not diagnosis.healthy
    (finding,) = diagnosis.findings
    assert "observation: shape [4] against [6]" in finding.message


def test_another_architecture_is_a_problem_where_the_file_names_one(policy, file):
    diagnosis = check_policy(policy(), file, ["architectures=[mlp_baseline]"])
    assert states(diagnosis) == {"weights": "ok", "spaces": "ok", "network": "problem"}
    assert not diagnosis.healthy


def test_a_part_is_told_as_such(policy, file):
    diagnosis = check_policy(policy(), file, ['pretrain.load=["encoder.*"]'])
    network = next(finding for finding in diagnosis.findings if finding.check == "network")
    assert network.state == "warning"
    assert "not loaded, left as they are: normalizer.count" in network.message


def test_a_file_of_tensors_is_checked_by_shapes_alone(file, tmp_path):
    path = tmp_path / "it's.pt"
    torch.save(network_of().state_dict(), path)
    assert not check_policy(path, file).healthy
    options = ["pretrain.architecture=mlp_baseline", "train.options.model_config={fcnet_hiddens: [8]}"]
    diagnosis = check_policy(path, file, options)
    assert diagnosis.healthy
    assert states(diagnosis)["spaces"] == "warning"


def test_continuous_actions_are_a_distance_away(policy, tmp_path):
    file = tmp_path / "swing.yaml"
    file.write_text("name: swing\nenv: {id: Pendulum-v1}\n")
    diagnosis = check_policy(policy(EnvSpec(id="Pendulum-v1")), file)
    assert diagnosis.healthy
    assert "on 512 steps its actions are" in diagnosis.findings[-1].message
