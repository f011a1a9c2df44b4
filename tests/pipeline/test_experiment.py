"""The experiment file as a whole."""

import pytest

from rayrl.errors import ConfigError
from rayrl.pipeline.experiment import load_experiment

DESIGN = """
name: router-warm-start
seeds: [0, 1, 2]
env:
  id: rayrl/Router-v0
  config: {replicas: 4, arrivals: poisson, target_load: 0.85, requests: 512, trace: null}
architectures: [mlp_baseline]
conditions: [no_pretrain, with_pretrain]
collect:  {demonstrators: {least_outstanding: 1, join_shortest_work: 1}, steps: 8192}
pretrain: {method: bc, epochs: 10, batch_size: 256, from: null}
train:    {algorithm: ppo, total_steps: 100_000, env_runners: 0, envs_per_runner: 16, learners: 0,
           gpus_per_learner: auto, cpus_per_learner: 1, cpus_per_env_runner: 1, options: {lr: 3.0e-4}}
evaluate: {suite: router_standard, episodes: 20}
report:   {}
artifacts: null
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "router.yaml"
    path.write_text(DESIGN)
    return path


def test_the_defaults_are_those_of_the_design(file, tmp_path):
    short = tmp_path / "short.yaml"
    short.write_text(
        "name: router-warm-start\nenv: {id: rayrl/Router-v0}\n"
        "collect: {demonstrators: {least_outstanding: 1, join_shortest_work: 1}}\n"
        "train: {options: {lr: 0.0003}}\nevaluate: {suite: router_standard}\n"
    )
    assert load_experiment(short) == load_experiment(file)


def test_it_survives_json(file):
    experiment = load_experiment(file, ["env.config.speeds=[1, 2, 1, 2]"])
    assert type(experiment).model_validate(experiment.to_json()) == experiment


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("env.config.replicas=-1", "env.config.replicas = -1: Input should be greater than or equal to 1"),
        ("pretrain.from=none", "pretrain.from = 'none': there is no such file or folder: "),
        ("env.config.replica=4", "env.config.replica: unknown key; did you mean 'replicas'?"),
        ("train.total_step=4", "train.total_step: unknown key; did you mean 'total_steps'?"),
        ("train.gpus_per_learner=many", "train.gpus_per_learner = 'many': must be 'auto' or a number"),
        ("seeds=[1, 1]", "must not name anything twice"),
        ("seeds=[0, 1, 0]", "must not name anything twice: 0"),
        ("seeds=[]", "seeds = []: "),
        ("conditions.0=pretrained", "conditions.0 = 'pretrained': Input should be 'no_pretrain', "),
        ("collect.demonstrators=null", "collect.demonstrators = None"),
        ("collect.demonstrators.random=-1", "collect.demonstrators.random = -1: must be a share"),
        ("pretrain.skip_bc=true", "skip_bc is about the weights of from, which is not given"),
        ("evaluate.levels=3", "evaluate.levels = 3: has no effect without a file of levels"),
        ("collect.first_replays=3", "collect.first_replays = 3: has no effect without collect.replays"),
        ("name=a b", "name = 'a b': String should match pattern"),
        ("artifacts=s3://x", "artifacts = 's3://x': Input should be None"),
        (
            "train.envs_per_runner=100000",
            "envs_per_runner = 100000: Input should be less than",
        ),
        ("collect.envs=100000", "collect.envs = 100000: Input should be less than or equal to 65536"),
        ("seeds=[4294967296]", "seeds.0 = 4294967296: Input should be less than 4294967296"),
        (
            "evaluate.episodes=2000000",
            "evaluate.episodes = 2000000: Input should be less than or equal to 1000000",
        ),
    ],
)
def test_what_is_wrong_is_named_with_file_override_and_value(file, override, message):
    with pytest.raises(ConfigError) as caught:
        load_experiment(file, [override])
    text = str(caught.value)
    assert message in text
    assert text.startswith(f"{file}: ")


def test_a_path_starts_at_the_file_or_in_an_override_at_the_working_directory(file, tmp_path, monkeypatch):
    (tmp_path / "policy").mkdir()
    (tmp_path / "there" / "policy").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "there")
    with_path = tmp_path / "with_path.yaml"
    with_path.write_text(DESIGN.replace("from: null", "from: policy"))
    assert load_experiment(with_path).pretrain.from_ == tmp_path / "policy"
    assert load_experiment(file, ["pretrain.from=policy"]).pretrain.from_ == tmp_path / "there" / "policy"


def test_a_smoke_run_is_small_and_never_larger_than_the_experiment(file):
    small = load_experiment(file, smoke=True)
    assert (small.seeds, small.train.total_steps, small.evaluate.episodes) == ((0,), 1024, 2)
    assert small.conditions == load_experiment(file).conditions
    assert load_experiment(file, ["train.total_steps=64"], smoke=True).train.total_steps == 64
    assert (small.collect.first_replays, small.evaluate.levels) == (None, None)


def test_a_smoke_run_plays_few_levels_of_a_file(file, tmp_path):
    (tmp_path / "levels.json").write_text("{}")
    suite = f"evaluate.suite={tmp_path / 'levels.json'}"
    assert load_experiment(file, [suite]).evaluate.levels is None
    assert load_experiment(file, [suite], smoke=True).evaluate.levels == 2
    assert load_experiment(file, [suite, "evaluate.levels=1"], smoke=True).evaluate.levels == 1
