"""Experiments that start from a policy from outside: architecture, parts, as it is, and again."""

import json

import gymnasium
import pytest
import torch

from rayrl.errors import ConfigError, PolicyError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import MLPBaseline
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.pipeline import pretrain_stage
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.forced_warm_start import forget, set_aside
from rayrl.pipeline.preflight import check_pretraining
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.stages import plan
from rayrl.pipeline.trial_config import build_config
from rayrl.pipeline.trial_spec import pretrain_folder, trials_of


@pytest.fixture
def cart(tmp_path):
    file = tmp_path / "cart.yaml"
    file.write_text(
        "name: cart\nseeds: [0, 1]\nenv: {id: CartPole-v1}\ncollect: {demonstrators: {random: 1}}\n"
    )
    return file


def network_of(env_id="CartPole-v1", **options):
    env = gymnasium.make(env_id)
    torch.manual_seed(7)
    return ActorCriticNetwork(env.observation_space, env.action_space, MLPBaseline(**options))


@pytest.fixture
def policy_of(tmp_path):
    def save(name="policy", **options):
        save_policy(tmp_path / name, network_of(**options), architecture="mlp_baseline", provenance={})
        return tmp_path / name

    return save


@pytest.fixture
def tensors(tmp_path):
    torch.save(network_of(fcnet_hiddens=(8,)).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def model_config_of(experiment):
    spec = next(iter(trials_of(experiment)))
    return build_config(experiment, spec, run_name="", gpus=0).model_config


def test_ppos_network_is_built_from_the_policys_architecture(cart, policy_of):
    start = f"pretrain.from={policy_of(fcnet_hiddens=(8, 8), fcnet_activation='relu')}"
    experiment = load_experiment(cart, [start])
    assert experiment.train.options["model_config"] == {"fcnet_hiddens": [8, 8], "fcnet_activation": "relu"}
    assert model_config_of(experiment)["fcnet_hiddens"] == (8, 8)
    check_pretraining(experiment)
    # Once in the run folder, the file names it.
    again = load_experiment(cart, [start, f"train.options={json.dumps(experiment.train.options)}"])
    assert again.architectures == ("mlp_baseline",)


def test_a_file_that_names_an_architecture_keeps_it_and_a_mismatch_is_an_error(cart, policy_of):
    start = f"pretrain.from={policy_of(fcnet_hiddens=(8,))}"
    named = load_experiment(cart, [start, "architectures=[mlp_baseline]"])
    assert named.train.options == {}
    with pytest.raises(PolicyError, match=r"does not fit the architecture 'mlp_baseline': .*mismatched"):
        check_pretraining(named)
    options = load_experiment(cart, [start, "train.options.model_config={fcnet_hiddens: [16]}"])
    assert options.train.options["model_config"] == {"fcnet_hiddens": [16]}
    with pytest.raises(PolicyError, match="does not fit"):
        check_pretraining(options)


def test_without_a_warm_start_the_architecture_is_the_files(cart, policy_of):
    start = f"pretrain.from={policy_of(fcnet_hiddens=(8,))}"
    assert load_experiment(cart, [start, "conditions=[no_pretrain]"]).train.options == {}


def test_a_file_of_tensors_takes_the_named_architecture(cart, tensors):
    asked = [f"pretrain.from={tensors}", "train.options.model_config={fcnet_hiddens: [8]}"]
    with pytest.raises(ConfigError, match=r"pretrain.architecture: .* holds tensors alone"):
        check_pretraining(load_experiment(cart, asked))
    named = load_experiment(cart, [*asked, "pretrain.architecture=mlp_baseline"])
    check_pretraining(named)
    with pytest.raises(ConfigError, match="no architecture 'mlp_base'"):
        check_pretraining(load_experiment(cart, [*asked, "pretrain.architecture=mlp_base"]))


def test_a_part_is_asked_for_by_patterns(cart, policy_of):
    wide = f"pretrain.from={policy_of(vf_share_layers=True, head_fcnet_hiddens=(4,))}"
    asked = [wide, "architectures=[mlp_baseline]"]
    with pytest.raises(PolicyError, match="does not fit"):
        check_pretraining(load_experiment(cart, asked))
    check_pretraining(load_experiment(cart, [*asked, 'pretrain.load=["encoder.*", "normalizer.*"]']))
    with pytest.raises(PolicyError, match=r"critic.\* matches none"):
        check_pretraining(load_experiment(cart, [*asked, 'pretrain.load=["critic.*"]']))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pretrain.skip_bc=true", "skip_bc is about the weights of from, which is not given"),
        ("pretrain.load=[a]", "load is about the weights of from"),
        ("pretrain.architecture=mlp_baseline", "architecture is about the weights of from"),
        ("pretrain.lr_final=0.1", "lr_final = 0.1 is more than lr = 0.001"),
        ("pretrain.lr_final=0.0001", "has no effect with lr_schedule: constant"),
        ("pretrain.label_smoothing=1", "pretrain.label_smoothing = 1"),
        ("pretrain.balance=[action, action]", "names something twice"),
        ("pretrain.balance=[actions]", "pretrain.balance.0 = 'actions'"),
        ("pretrain.lr_schedule=cos", "pretrain.lr_schedule = 'cos'"),
        ("pretrain.warmup_steps=-1", "pretrain.warmup_steps = -1"),
        ("pretrain.from=missing.pt", "there is no such file or folder"),
    ],
)
def test_what_is_wrong_is_named(cart, override, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(cart, [override])


def test_options_must_go_with_the_actions(tmp_path):
    file = tmp_path / "swing.yaml"
    file.write_text("name: swing\nenv: {id: Pendulum-v1}\ncollect: {demonstrators: {random: 1}}\n")
    with pytest.raises(ConfigError, match=r"pretrain: label_smoothing = 0.1 needs Discrete actions"):
        check_pretraining(load_experiment(file, ["pretrain.label_smoothing=0.1"]))
    with pytest.raises(ConfigError, match="needs actions that can be counted"):
        check_pretraining(load_experiment(file, ["pretrain.balance=[action]"]))


def prepared(tmp_path, file, overrides):
    folder = RunFolder(tmp_path / "run")
    folder.prepare(load_experiment(file, overrides), invocation_of(file, overrides, smoke=False))
    return folder, folder.experiment()


def test_skipping_bc_takes_the_policy_over_for_every_seed(cart, tmp_path, policy_of):
    source = policy_of(fcnet_hiddens=(8,))
    folder, experiment = prepared(tmp_path, cart, [f"pretrain.from={source}", "pretrain.skip_bc=true"])
    units = {unit.name: unit for unit in plan(experiment)}
    assert "collect" not in units
    unit = units["pretrain-mlp_baseline"]
    outputs = pretrain_stage.run(StageContext(experiment, folder, unit))
    assert outputs is not None
    assert all(file.exists() for file in outputs.files)
    expected = load_policy(source).network.state_dict()
    for seed in (0, 1):
        home = pretrain_folder(folder, "mlp_baseline", seed)
        taken = load_policy(home / "policy")
        assert all(torch.equal(x, expected[name]) for name, x in taken.network.state_dict().items())
        assert json.loads((home / "summary.json").read_text()) == {"taken_over": True}
    # The copy in the run folder, by hash, is what was read.
    assert experiment.pretrain.from_.is_relative_to(folder.path / "inputs")
    before = {file: file.stat().st_mtime_ns for file in outputs.files}
    assert pretrain_stage.run(StageContext(experiment, folder, unit)) is not None
    assert before == {file: file.stat().st_mtime_ns for file in outputs.files}


def test_of_a_part_the_rest_is_drawn_by_the_seed(cart, tmp_path, policy_of):
    options = [f"pretrain.from={policy_of()}", "pretrain.skip_bc=true", 'pretrain.load=["encoder.*"]']
    folder, experiment = prepared(tmp_path, cart, options)
    pretrain_stage.run(StageContext(experiment, folder, plan(experiment)[0]))
    states = [
        load_policy(pretrain_folder(folder, "mlp_baseline", seed) / "policy").network.state_dict()
        for seed in (0, 1)
    ]
    equal = {name: torch.equal(states[0][name], states[1][name]) for name in states[0]}
    assert equal["encoder.mlp.linears.0.weight"]
    assert not equal["policy_head.linears.0.weight"]


class TestAgain:
    @pytest.fixture
    def run(self, cart, tmp_path):
        folder, experiment = prepared(tmp_path, cart, ["pretrain.force_warmstart=true"])
        for part in ("pretrain", "with_pretrain", "no_pretrain"):
            home = folder.path / "mlp_baseline" / part / "seed_0"
            home.mkdir(parents=True)
            (home / "checkpoint").write_text(part)
        for name in ("collect", "pretrain-mlp_baseline", "train", "evaluate"):
            folder.stage(name).mkdir(parents=True)
            (folder.stage(name) / "manifest.json").write_text("{}")
        return folder, experiment

    def test_it_is_for_one_call_and_makes_no_other_run(self, run, cart):
        folder, experiment = run
        assert not experiment.pretrain.force_warmstart
        assert folder.config["pretrain"]["force_warmstart"] is False
        forced = invocation_of(cart, ["seeds=[1]", "pretrain.force_warmstart=true"], smoke=False)
        assert forced == invocation_of(cart, ["seeds=[1]"], smoke=False)

    def test_what_was_there_is_kept_aside(self, run):
        folder, experiment = run
        kept = set_aside(folder, experiment, forced=True)
        assert kept is not None
        for part in ("pretrain", "with_pretrain"):
            assert (kept / "mlp_baseline" / part / "seed_0" / "checkpoint").read_text() == part
            assert not (folder.path / "mlp_baseline" / part).exists()
        assert (folder.path / "mlp_baseline" / "no_pretrain" / "seed_0" / "checkpoint").exists()
        there = {name for name in ("collect", "pretrain-mlp_baseline", "train", "evaluate")
                 if (folder.stage(name) / "manifest.json").exists()}  # fmt: skip
        assert there == {"collect"}

    def test_the_same_command_goes_on_until_the_run_is_finished(self, run):
        folder, experiment = run
        set_aside(folder, experiment, forced=True)
        (folder.path / "mlp_baseline" / "pretrain" / "seed_0").mkdir(parents=True)
        assert set_aside(folder, experiment, forced=True) is None
        assert set_aside(folder, experiment, forced=False) is None
        forget(folder)
        assert set_aside(folder, experiment, forced=False) is None
        kept = set_aside(folder, experiment, forced=True)
        assert kept == folder.path / "aside" / "warm_start_2"

    def test_killed_on_the_way_the_next_call_completes_it(self, run):
        folder, experiment = run
        kept = folder.path / "aside" / "then"
        (kept / "mlp_baseline").mkdir(parents=True)
        (folder.path / "mlp_baseline" / "pretrain").rename(kept / "mlp_baseline" / "pretrain")
        (folder.path / "warm_start.json").write_text(json.dumps({"aside": "aside/then", "moved": False}))
        assert set_aside(folder, experiment, forced=False) == kept
        assert (kept / "mlp_baseline" / "with_pretrain" / "seed_0" / "checkpoint").exists()

    def test_there_may_be_nothing_to_set_aside(self, cart, tmp_path):
        folder, experiment = prepared(tmp_path, cart, ())
        assert set_aside(folder, experiment, forced=True) is None
        assert not (folder.path / "warm_start.json").exists()


def test_the_default_mix_is_the_environments_own(tmp_path):
    file = tmp_path / "router.yaml"
    file.write_text("name: r\nenv: {id: rayrl/Router-v0}\n")
    shares = {"round_robin": 1.0, "least_outstanding": 1.0, "random": 1.0}
    assert load_experiment(file).collect.demonstrators == shares
    assert load_experiment(file, ["conditions=[no_pretrain]"]).collect.demonstrators == {}
    assert load_experiment(file, ["collect.demonstrators={random: 1}"]).collect.shares == {"random": 1.0}
    with pytest.raises(ConfigError, match=r"the condition with_pretrain needs collect.demonstrators"):
        load_experiment(file, ["env={id: CartPole-v1}"])
