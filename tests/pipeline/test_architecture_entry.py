"""Architectures of an experiment file that replace options of registered ones."""

import json

import gymnasium
import pytest
import torch

from rayrl.errors import ConfigError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline.architecture_entry import options_of
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.preflight import check_algorithm, check_environment
from rayrl.pipeline.stages import plan
from rayrl.pipeline.trial_config import build_config, network_config
from rayrl.pipeline.trial_spec import TrialSpec, trials_of
from rayrl.report.records import ExperimentRecord

SMALL = "{name: gcn_small, base: gcn, graph: {num_layers: 4, hidden_dim: 48}}"


@pytest.fixture
def experiment(tmp_path):
    def make(*overrides):
        path = tmp_path / "e.yaml"
        path.write_text("name: x\nenv: {id: CartPole-v1}\ncollect: {demonstrators: {random: 1}}\n")
        return load_experiment(path, overrides)

    return make


def test_a_mapping_replaces_options_of_a_registered_one(experiment):
    made = experiment(f"architectures=[mlp_baseline, {SMALL}, {{name: gru, gru_cell_size: 8}}]")
    assert made.architectures == ("mlp_baseline", "gcn_small", "gru")
    small, gcn = options_of(made, "gcn_small"), options_of(made, "gcn")
    assert (small["graph"]["num_layers"], small["graph"]["hidden_dim"]) == (4, 48)
    assert small | {"graph": None} == gcn | {"graph": None}
    assert options_of(made, "gru")["gru_cell_size"] == 8
    assert {spec.architecture for spec in trials_of(made)} == set(made.architectures)
    spec = next(spec for spec in trials_of(made) if spec.architecture == "gcn_small")
    assert build_config(made, spec, run_name="", gpus=0).model_config == small


def test_its_own_options_come_before_those_for_all(experiment):
    every = "train.options.model_config={fcnet_hiddens: [8], fcnet_activation: relu}"
    made = experiment(
        "architectures=[mlp_baseline, {name: w, base: mlp_baseline, fcnet_hiddens: [9]}]", every
    )
    assert options_of(made, "mlp_baseline")["fcnet_hiddens"] == (8,)
    own = network_config(made, "w", gymnasium.spaces.Discrete(2))
    assert (own.fcnet_hiddens, own.fcnet_activation) == ((9,), "relu")


def test_the_file_comes_back_as_it_was_given(experiment, tmp_path):
    made = experiment(f"architectures=[mlp_baseline, {SMALL}, {{name: gru}}]")
    written = made.to_json()
    assert written["architectures"] == [
        "mlp_baseline",
        {"name": "gcn_small", "base": "gcn", "graph": {"num_layers": 4, "hidden_dim": 48}},
        "gru",
    ]
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert load_experiment(tmp_path / "config.json") == made
    assert made.smoke().architectures == ("mlp_baseline",)
    assert experiment(f"architectures=[{SMALL}]").smoke().architectures == ("gcn_small",)
    assert list(made.input_files()) == []
    assert ExperimentRecord.model_validate(written).architectures == made.architectures


def test_other_options_make_another_pretraining_and_another_trial_of_that_alone(experiment):
    before, after = (
        experiment(f"architectures=[mlp_baseline, {{name: w, base: mlp_baseline, fcnet_hiddens: [{n}]}}]")
        for n in (8, 9)
    )
    configs = before.to_json(), after.to_json()
    options = [
        {unit.name: unit.options(config) for unit in plan(made) if unit.kind.name == "pretrain"}
        for made, config in zip((before, after), configs, strict=True)
    ]
    assert options[0]["pretrain-mlp_baseline"] == options[1]["pretrain-mlp_baseline"]
    assert options[0]["pretrain-w"] != options[1]["pretrain-w"]
    for name, same in (("mlp_baseline", True), ("w", False)):
        spec = TrialSpec(name, "no_pretrain", 0)
        assert (spec.identity(configs[0]) == spec.identity(configs[1])) == same


def test_a_policy_of_such_an_architecture_can_be_gone_on_from(experiment, tmp_path):
    made = experiment("architectures=[{name: w, base: mlp_baseline, fcnet_hiddens: [9]}]")
    env = gymnasium.make("CartPole-v1")
    config = network_config(made, "w", env.action_space)
    with torch.random.fork_rng(devices=[]):
        network = ActorCriticNetwork(env.observation_space, env.action_space, config)
        save_policy(tmp_path / "policy", network, architecture="w", provenance={})
    start = f"pretrain.from={tmp_path / 'policy'}"
    again = experiment(start)
    assert again.architectures == ("w",)
    assert again.entry("w") == made.entry("w")
    assert network_config(experiment(start), "w", env.action_space) == config


def test_an_option_for_all_that_one_cannot_take_is_named_with_its_path_and_where_it_belongs(experiment):
    with pytest.raises(ConfigError) as caught:
        options_of(
            experiment("train.options.model_config={fcnet_hiddens: [16]}", "architectures=[gcn]"), "gcn"
        )
    assert str(caught.value) == (
        "architectures: gcn: train.options.model_config.fcnet_hiddens = (16,) has no effect with modalities\n"
        "  train.options.model_config is of all architectures: give fcnet_hiddens in the entries of those "
        "that it has an effect on, as {name: mlp_baseline, fcnet_hiddens: [16]}; of the registered ones: "
        "gru, mlp_baseline"
    )
    # Its own option is wrong, not the one for all.
    both = "architectures=[{name: g, base: gcn, fcnet_hiddens: [8]}]"
    with pytest.raises(ConfigError) as caught:
        options_of(experiment("train.options.model_config={fcnet_activation: relu}", both), "g")
    assert str(caught.value) == "architectures: g: fcnet_hiddens = (8,) has no effect with modalities"
    # What no architecture takes belongs nowhere.
    with pytest.raises(ConfigError) as caught:
        options_of(experiment("train.options.model_config={fcnet_hidden: [8]}"), "mlp_baseline")
    text = str(caught.value)
    assert text.startswith(
        "architectures: mlp_baseline: train.options.model_config.fcnet_hidden: unknown key"
    )
    assert "of all architectures" not in text


def check(experiment):
    check_algorithm(experiment)
    check_environment(experiment)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("[{name: a, base: gnc}]", "there is no architecture 'gnc'"),
        ("[{name: a}]", "there is no architecture 'a'"),
        ("[mlp_base]", "did you mean 'mlp_baseline'? known: full_hgt, gat, gcn, gru"),
        ("[{name: gcn, base: gat}]", "'gcn' is registered, and base = 'gat' is another"),
        (
            "[{name: a, base: mlp_baseline, fcnet_hidden: [8]}]",
            "architectures: a: fcnet_hidden: unknown key; did you mean 'fcnet_hiddens'",
        ),
        ("[{name: a, base: gcn, graph: {kind: gnc}}]", "architectures: a: graph.kind = 'gnc'"),
        ("[{name: a, base: gcn}]", "observations are no Dict of parts"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(experiment, entries, message):
    made = experiment(f"architectures={entries}")
    with pytest.raises(ConfigError) as caught:
        check(made)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("[gcn, {name: gcn, features_dim: 8}]", "must not name anything twice: gcn"),
        ("[{base: gcn}]", "architectures.0.name: required, and not given"),
        ("[{name: tune}]", "a run has a folder or a file of that name"),
        ("[{name: evaluate, base: gcn}]", "a run has a folder or a file of that name"),
        ("[{name: config.json, base: gcn}]", "a run has a folder or a file of that name"),
        ("['a b']", "architectures.0.name = 'a b'"),
        ("[]", "architectures"),
    ],
)
def test_what_no_file_may_say(experiment, entries, message):
    with pytest.raises(ConfigError) as caught:
        experiment(f"architectures={entries}")
    assert message in str(caught.value)
