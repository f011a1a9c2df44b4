"""How long policies take to decide."""

import re
import time

import gymnasium as gym
import pytest
import torch
from typer.testing import CliRunner

from rayrl.cli.main import app
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, IntegrityError, PolicyError
from rayrl.evaluation import latency as module
from rayrl.evaluation.latency import load_latency, measure_latency, save_latency
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy import Policy
from rayrl.models.policy_folder import save_policy

CARTPOLE = EnvSpec(id="CartPole-v1")


@pytest.fixture
def folder(tmp_path):
    env = gym.make("CartPole-v1")
    network = ActorCriticNetwork(env.observation_space, env.action_space, ModelConfig(fcnet_hiddens=(8,)))
    description = save_policy(tmp_path / "policy", network, architecture="mlp_baseline", provenance={})
    return tmp_path / "policy", description


@pytest.fixture
def slow(monkeypatch):
    """Decisions that take a time of their own: every tenth one takes longer."""
    calls = []
    monkeypatch.setattr(module, "_WARM_S", 0.0)
    monkeypatch.setattr(module, "_MEASURE_S", 0.5)

    def step(self, observations, state, **options):
        calls.append((len(observations), torch.get_num_threads()))
        time.sleep(0.012 if len(calls) % 10 == 0 else 0.003)

    monkeypatch.setattr(Policy, "step", step)
    return calls


def test_the_percentiles_are_those_of_the_calls(folder, slow):
    before = torch.get_num_threads()
    found = measure_latency(folder[0], CARTPOLE)
    for batch in (1, 64):
        each = found.of(batch)
        assert each.samples >= 30
        assert 3.0 <= each.p50_ms < 8.0
        assert 12.0 <= each.p99_ms < 60.0
    assert {size for size, _ in slow} == {1, 64}
    assert {threads for _, threads in slow} == {found.threads} == {1}
    assert torch.get_num_threads() == before


def test_the_record_says_of_what_and_on_what(folder, tmp_path):
    path, description = folder
    found = measure_latency(path, CARTPOLE, batches=(1,))
    assert (found.weights_sha256, found.device) == (description.weights_sha256, "cpu")
    assert found.processor
    save_latency(found, tmp_path / "latency.json")
    assert load_latency(tmp_path / "latency.json") == found
    (tmp_path / "latency.json").write_text('{"device": "cpu"}')
    with pytest.raises(IntegrityError, match="weights_sha256"):
        load_latency(tmp_path / "latency.json")


def test_a_policy_of_other_spaces_is_refused(folder):
    with pytest.raises(PolicyError, match="does not fit"):
        measure_latency(folder[0], EnvSpec(id="Acrobot-v1"))


def test_the_command_says_it(folder, tmp_path):
    (tmp_path / "cart.yaml").write_text("{name: cart, env: {id: CartPole-v1}, conditions: [no_pretrain]}")
    arguments = ["policy", "latency", str(folder[0]), "--for", str(tmp_path / "cart.yaml"), "--batch", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    first, second = result.output.splitlines()
    assert first.startswith("mlp_baseline on ")
    assert re.fullmatch(r"batch    2: p50 \S+ ms, p99 \S+ ms \([\d,]+ calls\)", second)


@pytest.mark.parametrize("device", ["cuda:99", "meta", "mps", "cup", ""])
def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(device, tmp_path):
    with pytest.raises(ConfigError) as error:
        measure_latency(tmp_path / "no_policy", CARTPOLE, device=device)
    assert f"device = {device!r}: there is no such device here\n  known: cpu" in str(error.value)
