"""Policy folders and files of tensors from outside: what is read, refused, and loaded in part."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch

from rayrl.errors import ConfigError, IntegrityError, PolicyError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.external_weights import read_external_weights, read_state_dict
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_facts import policy_facts
from rayrl.models.policy_folder import save_policy
from rayrl.models.weights import load_weights

OBSERVATION, ACTION = gym.spaces.Box(-1, 1, (3,), np.float32), gym.spaces.Discrete(2)


def network_of(seed=0, **options):
    torch.manual_seed(seed)
    return ActorCriticNetwork(OBSERVATION, ACTION, ModelConfig(fcnet_hiddens=(4,), **options))


def saved(path, value):
    torch.save(value, path)
    return path


def same(a, b):
    return all(torch.equal(x, b[name]) for name, x in a.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model_state_dict": state, "model_config": {"hidden_size": 4, "layer_N": 1}},
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {f"module.network.{name}": x for name, x in state.items()},
    ],
    ids=["plain", "the router's", "a training script's", "wrapped"],
)
def test_tensors_are_found_where_scripts_put_them(tmp_path, wrap):
    network, other = network_of(), network_of(1)
    path = saved(tmp_path / "model.pt", wrap(network.state_dict()))
    weights = read_external_weights(path, "mlp_baseline")
    assert weights.spaces is None
    report = weights.load_into(other, ())
    assert report.complete
    assert same(network.state_dict(), other.state_dict())


def test_a_policy_folder_says_what_it_is(tmp_path):
    save_policy(tmp_path / "policy", network_of(), architecture="mlp_baseline", provenance={})
    weights = read_external_weights(tmp_path / "policy", None)
    assert weights.architecture == "mlp_baseline"
    assert weights.spaces is not None
    assert weights.spaces.action == ACTION
    with pytest.raises(ConfigError, match=r"architecture = 'gru', and the policy in .* is 'mlp_baseline'"):
        read_external_weights(tmp_path / "policy", "gru")


def test_a_file_of_tensors_needs_a_name(tmp_path):
    path = saved(tmp_path / "model.pt", network_of().state_dict())
    with pytest.raises(ConfigError, match="holds tensors alone, and not which network they are of"):
        read_external_weights(path, None)


class Evil:
    def __reduce__(self):
        return print, ("this was executed",)


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    path = saved(tmp_path / "model.pt", {"a": torch.zeros(1), "b": Evil()})
    with pytest.raises(PolicyError, match=r"holds more than tensors and plain values: .*print"):
        read_state_dict(path)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises((PolicyError, IntegrityError)):
        read_state_dict(tmp_path / "plain.pkl")
    assert "this was executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"no file of PyTorch's", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"model.pt: cannot be read by PyTorch"):
        read_state_dict(path)


def test_a_file_that_is_cut_short_is_named(tmp_path):
    path = saved(tmp_path / "model.pt", network_of().state_dict())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(IntegrityError, match="cannot be read by PyTorch"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "holds a list, not tensors by name"),
        ({}, "holds nothing, not tensors by name"),
        ({"optimizer": {"lr": 1}, "w": torch.zeros(1)}, "holds what is no tensor: optimizer"),
    ],
)
def test_what_is_no_state_dict_is_named(tmp_path, value, message):
    with pytest.raises(PolicyError, match=message):
        read_state_dict(saved(tmp_path / "model.pt", value))


def test_weights_that_are_not_finite_are_named(tmp_path):
    state = network_of().state_dict()
    state["policy_head.linears.0.bias"][1] = float("nan")
    with pytest.raises(PolicyError, match=r"not all numbers are finite in policy_head.linears.0.bias"):
        read_external_weights(saved(tmp_path / "model.pt", state), "mlp_baseline")


def test_names_that_do_not_fit_are_all_told(tmp_path):
    path = saved(
        tmp_path / "model.pt",
        {"actor.gru.weight_ih_l0": torch.zeros(12, 3), "actor.out.bias": torch.zeros(2)},
    )
    weights = read_external_weights(path, "mlp_baseline")
    with pytest.raises(PolicyError) as raised:
        weights.load_into(network_of(), ())
    assert "unexpected: actor.gru.weight_ih_l0, actor.out.bias" in str(raised.value)
    assert "missing: encoder.mlp.linears.0.weight" in str(raised.value)
    assert "the architecture gru is known" in str(raised.value)


class TestInPart:
    def test_only_what_is_asked_for_is_loaded_and_the_rest_is_told(self):
        network, other = network_of(), network_of(1)
        given = {**network.state_dict(), "extra": torch.zeros(1)}
        before = {name: x.clone() for name, x in other.state_dict().items()}
        report = load_weights(other, given, only=("encoder.*", "policy_head.*"))
        after = other.state_dict()
        assert report.loaded == tuple(n for n in after if n.startswith(("encoder.", "policy_head.")))
        assert report.left == tuple(n for n in after if n.startswith("value_"))
        assert "extra" in report.unused
        assert same({n: after[n] for n in report.loaded}, network.state_dict())
        assert same({n: after[n] for n in report.left}, before)
        text = str(report)
        assert "not loaded, left as they are: value_encoder" in text
        assert "extra" in text.split("not used of the weights: ")[1]

    def test_what_is_asked_for_must_be_on_both_sides_and_fit(self):
        other = network_of(1)
        before = {name: x.clone() for name, x in other.state_dict().items()}
        given = network_of().state_dict()
        del given["encoder.mlp.linears.0.bias"]
        with pytest.raises(PolicyError, match=r"missing: encoder.mlp.linears.0.bias"):
            load_weights(other, given, only=("encoder.*",))
        given = network_of().state_dict() | {"policy_head.linears.0.bias": torch.zeros(3)}
        with pytest.raises(PolicyError, match=r"mismatched: policy_head.linears.0.bias is float32 \(3,\)"):
            load_weights(other, given, only=("policy_head.*",))
        load_weights(
            other, {n: x for n, x in before.items() if n.startswith("encoder.")}, only=("encoder.*",)
        )
        assert same(before, other.state_dict())

    def test_a_pattern_that_matches_nothing_is_named(self):
        with pytest.raises(PolicyError, match=r"critic.\* matches none of the weights: encoder"):
            load_weights(network_of(), network_of().state_dict(), only=("encoder.*", "critic.*"))


def test_facts_of_a_folder_and_of_a_file(tmp_path):
    network = network_of(normalize_observations=True)
    save_policy(tmp_path / "policy", network, architecture="mlp_baseline", provenance={"seed": 3})
    facts = policy_facts(tmp_path / "policy")
    assert facts["architecture"] == "mlp_baseline"
    assert facts["options that are not the networks' defaults"] == {
        "fcnet_hiddens": [4],
        "normalize_observations": True,
    }
    assert facts["observations normalized by"] == 0
    assert facts["numbers remembered"] == 0
    assert facts["provenance"] == {"seed": 3}
    assert facts["tensors"]["policy_head.linears.0.bias"] == [2]
    path = saved(tmp_path / "model.pt", network.state_dict())
    assert policy_facts(path) == {"kind": "file of tensors", "tensors": facts["tensors"]}
    with pytest.raises(PolicyError, match="there is no such file or folder"):
        policy_facts(tmp_path / "nothing")
