"""What is refused before anything is submitted."""

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

from rayrl.errors import ConfigError, EnvError, IntegrityError, PolicyError, ResourceError, SpaceError
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import MLPBaseline
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline import preflight
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.trial_config import build_config
from rayrl.pipeline.trial_spec import trials_of
from rayrl.storage.spaces import Spaces
from tests.algorithms.offpolicy.demonstrations import sevens


@pytest.fixture
def cart(tmp_path):
    file = tmp_path / "cart.yaml"
    file.write_text("name: cart\nenv: {id: CartPole-v1}\ncollect: {demonstrators: {random: 1}}\n")
    return file


@pytest.fixture
def policy_of(tmp_path):
    def save(env_id: str, **options: object):
        env = gymnasium.make(env_id)
        network = ActorCriticNetwork(env.observation_space, env.action_space, MLPBaseline(**options))
        save_policy(tmp_path / "policy", network, architecture="mlp_baseline", provenance={})
        return tmp_path / "policy"

    return save


def test_this_machine_must_hold_a_trial(file, monkeypatch):
    monkeypatch.setattr(preflight, "this_machine", lambda: {"CPU": 2.0, "GPU": 0.0})
    preflight.check_machine(load_experiment(file, ["train.env_runners=1"]))
    with pytest.raises(ResourceError, match="this machine: a trial cannot be placed: missing 2 CPUs"):
        preflight.check_machine(load_experiment(file, ["train.env_runners=3"]))


def test_this_machines_memory_must_hold_the_offline_experience(file, tmp_path, monkeypatch):
    env = gymnasium.make("CartPole-v1")
    spaces = Spaces(env.observation_space, env.action_space)
    with DatasetWriter(tmp_path / "demos", spaces=spaces, env=EnvInfo(id="CartPole-v1")) as writer:
        writer.append(sevens(4, 10))
        writer.finish()
    replay = f"{{offline_dataset: {tmp_path / 'demos'}, offline_fraction: 0.5}}"
    given = ["train.algorithm=sac", f"train.replay={replay}"]
    preflight.check_machine(load_experiment(file, given))
    monkeypatch.setattr(preflight, "available_memory", lambda: 1000)
    with pytest.raises(ResourceError, match=r"demos: offline_dataset takes 0\.0 GB of memory"):
        preflight.check_machine(load_experiment(file, given))
    preflight.check_machine(load_experiment(file, [*given, "train.replay.num_replay_shards=1"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [("env.id=NoSuch-v0", "is not a registered environment"), ("env.id=nowhere:Env", "cannot be imported")],
)
def test_the_environment_is_built_once(file, override, message):
    preflight.check_environment(load_experiment(file))
    with pytest.raises(EnvError, match=message):
        preflight.check_environment(load_experiment(file, [override]))


class TwoViews(gymnasium.Env):
    """Observes what no network reads."""

    observation_space = gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)] * 2)
    action_space = gymnasium.spaces.Discrete(2)


@pytest.mark.filterwarnings("ignore:.*observation space:UserWarning")
def test_spaces_that_no_network_reads_are_refused_before_anything_starts(file):
    gymnasium.register("TwoViews-v0", TwoViews, disable_env_checker=True)
    try:
        with pytest.raises(SpaceError, match="no network here reads Tuple"):
            preflight.check_environment(load_experiment(file, ["env.id=TwoViews-v0"]))
    finally:
        del gymnasium.registry["TwoViews-v0"]
    spaces = preflight.check_environment(load_experiment(file))
    assert spaces.observation.shape == (4,)


def test_options_of_the_networks_are_checked_against_the_spaces(file):
    options = ["train.options={model_config: {free_log_std: true}}"]
    with pytest.raises(ConfigError, match="free_log_std = true needs Box actions"):
        preflight.check_environment(load_experiment(file, options))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("lr=-1", "train.options: lr = -1\n  give a number, at least 0"),
        ("lr=fast", "train.options: lr = 'fast'"),
        ("minibatch_size=4096", "train.options: .*minibatch_size. .4096. must be <="),
        ("lrr=1", "train.options: lrr: unknown option; did you mean 'lr'"),
        ("seed=3", "train.options: seed = 3\n  set seeds instead"),
        ("num_env_runners=3", "train.options: num_env_runners = 3\n  set train.env_runners instead"),
        ("model_config=3", "model_config = 3\n  give a mapping"),
        ("model_config={fcnet_hidden: [8]}", "fcnet_hidden: unknown key; did you mean 'fcnet_hiddens'"),
    ],
)
def test_options_of_the_algorithm_are_refused_by_name(cart, option, message):
    preflight.check_algorithm(load_experiment(cart))
    with pytest.raises(ConfigError, match=message):
        preflight.check_algorithm(load_experiment(cart, [f"train.options.{option}"]))


@pytest.mark.parametrize("conditions", ["[with_pretrain, no_pretrain]", "[no_pretrain, with_pretrain]"])
def test_what_holds_a_policy_is_for_trials_that_start_from_one(cart, conditions):
    held = ["train.options.kl_ref.initial=0.1", "train.options.critic_warmup_updates=2"]
    both = load_experiment(cart, [f"conditions={conditions}", *held])
    preflight.check_algorithm(both)
    configs = {spec.condition: build_config(both, spec, run_name="", gpus=0) for spec in trials_of(both)}
    assert configs["no_pretrain"].kl_ref is None
    assert configs["no_pretrain"].critic_warmup_updates == 0
    assert configs["with_pretrain"].kl_ref == {"initial": 0.1}
    with pytest.raises(ConfigError, match="kl_ref is for trials that start from a policy, and none does"):
        preflight.check_algorithm(load_experiment(cart, ["conditions=[no_pretrain]", *held]))
    wrong = load_experiment(cart, [f"conditions={conditions}", "train.options.kl_ref.inital=0.1"])
    with pytest.raises(ConfigError, match=r"kl_ref.inital: unknown key; did you mean 'initial'"):
        preflight.check_algorithm(wrong)


class Shaped(gymnasium.Env):
    """Shapes its reward for a discount, and says so."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    shaping_gamma = 0.9


@pytest.mark.parametrize(
    ("env", "config", "gamma"),
    [("Shaped-v0", "{}", 0.9), ("rayrl/MineMaze-v0", "{shaping: {gamma: 0.5}}", 0.5)],
)
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_training_discounts_as_the_reward_is_shaped(cart, monkeypatch, env, config, gamma, algorithm):
    monkeypatch.setitem(gymnasium.registry, "Shaped-v0", EnvSpec("Shaped-v0", Shaped))
    given = [f"env={{id: {env}, config: {config}}}", f"train.algorithm={algorithm}"]
    given += ["conditions=[no_pretrain]"]
    with pytest.raises(ConfigError) as raised:
        preflight.check_algorithm(load_experiment(cart, given))
    assert raised.value.where == "train.options"
    assert f"gamma = 0.99, and {env} shapes its reward for gamma = {gamma}," in raised.value.message
    preflight.check_algorithm(load_experiment(cart, [*given, f"train.options.gamma={gamma}"]))


def test_the_ablation_starts_from_a_policy_and_is_not_held_to_it_by_kl(cart):
    held = ["train.options.kl_ref.initial=0.1", "train.options.critic_warmup_updates=2"]
    alone = load_experiment(cart, ["conditions=[with_pretrain_no_kl]", *held])
    preflight.check_algorithm(alone)
    assert alone.pretrains
    (config,) = {
        spec.condition: build_config(alone, spec, run_name="", gpus=0) for spec in trials_of(alone)
    }.values()
    assert (config.kl_ref, config.critic_warmup_updates) == (None, 2)
    with pytest.raises(ConfigError, match="shows what kl_ref does, and there is no kl_ref"):
        preflight.check_algorithm(load_experiment(cart, ["conditions=[with_pretrain_no_kl]"]))


def test_demonstrators_must_be_there(cart):
    preflight.check_demonstrators(load_experiment(cart))
    with pytest.raises(ConfigError, match="no demonstrator 'rondom' of CartPole-v1\n  did you mean 'random'"):
        preflight.check_demonstrators(load_experiment(cart, ["collect.demonstrators={rondom: 1}"]))


def test_a_missing_modality_is_named_with_the_architecture_that_needs_it_and_what_is_there(cart):
    maze = ["env.id=rayrl/MineMaze-v0", "env.config={observations: [game_state]}", "conditions=[no_pretrain]"]
    experiment = load_experiment(cart, [*maze, "architectures=[mlp_baseline, vision_free]"])
    with pytest.raises(ConfigError) as raised:
        preflight.check_environment(experiment)
    assert raised.value.where == "architecture vision_free: model_config.modalities"
    assert "graph is to be read as graph" in raised.value.message
    assert "there are {game_state: vector}" in raised.value.remedy


def test_the_policy_to_start_from_must_fit_each_architecture(cart, policy_of):
    start = f"pretrain.from={policy_of('CartPole-v1')}"
    preflight.check_pretraining(load_experiment(cart))
    preflight.check_pretraining(load_experiment(cart, [start]))
    other = "train.options.model_config={fcnet_hiddens: [8]}"
    with pytest.raises(PolicyError, match="the weights do not fit the network"):
        preflight.check_pretraining(load_experiment(cart, [start, other]))
    policy_of("CartPole-v1", fcnet_hiddens=[8])
    preflight.check_pretraining(load_experiment(cart, [start, other]))
    policy_of("Acrobot-v1")
    with pytest.raises(PolicyError, match="made for other spaces than those of CartPole-v1"):
        preflight.check_pretraining(load_experiment(cart, [start]))


def test_the_policy_to_start_from_must_be_one(cart, tmp_path):
    with pytest.raises(IntegrityError, match="policy"):
        preflight.check_pretraining(load_experiment(cart, [f"pretrain.from={tmp_path}"]))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "plannr",
            "'plannr' is no demonstrator that is evaluated\n  did you mean 'planner'?",
        ),
        ("random", "report.reference = 'random' acts at random, and scores 0\n  known: planner"),
    ],
)
def test_what_scores_one_is_a_demonstrator(tmp_path, reference, message):
    maze = tmp_path / "maze.yaml"
    maze.write_text("name: maze\nenv: {id: rayrl/MineMaze-v0}\n")
    preflight.check_report(load_experiment(maze, ["report.reference=planner"]))
    with pytest.raises(ConfigError) as caught:
        preflight.check_report(load_experiment(maze, [f"report.reference={reference}"]))
    assert message in str(caught.value)


def test_the_evaluation_keeps_the_spaces_of_the_training(tmp_path):
    maze = tmp_path / "maze.yaml"
    maze.write_text("name: maze\nenv: {id: rayrl/MineMaze-v0, config: {categories: {very_simple: 1}}}\n")
    preflight.check_evaluation(load_experiment(maze, ["evaluate.env_config={rewards: {exit: 2}}"]))
    with pytest.raises(ConfigError, match="category as_trained: its spaces are not those of the training"):
        preflight.check_evaluation(load_experiment(maze, ["evaluate.env_config={categories: {complex: 1}}"]))


@pytest.mark.parametrize("given", ["3", "[a.json]"])
def test_a_suite_is_a_name_or_a_path(cart, given):
    message = "evaluate.suite = .*: must be the name of a suite, or the path of a file of levels"
    with pytest.raises(ConfigError, match=message):
        load_experiment(cart, [f"evaluate.suite={given}"])


@pytest.mark.parametrize("gpus", [0, 0.25, 1, 2.0])
def test_a_learner_has_a_share_of_a_gpu_or_whole_ones(cart, gpus):
    assert load_experiment(cart, [f"train.gpus_per_learner={gpus}"]).train.gpus_per_learner == gpus
    with pytest.raises(ConfigError, match=r"train\.gpus_per_learner = 1\.5: Ray gives a share of one GPU"):
        load_experiment(cart, ["train.gpus_per_learner=1.5"])
