"""docs/experiment.md is what the models give, and its example is an experiment."""

import importlib.util
import re
from pathlib import Path

import pytest

from rayrl.algorithms import PPOConfig
from rayrl.envs.spec import options_model, own_environments
from rayrl.pipeline.experiment import load_experiment

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def writer():
    spec = importlib.util.spec_from_file_location("write_reference", DOCS / "write_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(writer):
    assert writer.PAGE.read_text() == writer.page(), "run `make docs`"


def test_the_algorithms_options_have_an_effect(writer):
    assert set(writer.PPO) - {"train_batch_size_per_learner"} <= PPOConfig.honoured


@pytest.mark.parametrize("env_id", own_environments())
def test_each_environments_options_stand_there(writer, env_id):
    part = writer.page().partition(f"## `env.config` of `{env_id}`")[2].partition("\n## ")[0]
    assert (DOCS / re.search(r"More in \[.*?\]\((.*?)\)", part)[1]).is_file()
    for name, field in options_model(env_id).model_fields.items():
        assert re.search(rf"^\| `{field.alias or name}[.`]", part, re.MULTILINE), name


def test_every_weight_of_the_mazes_reward_and_shaping_stands_there(writer):
    names = [f"rewards.{name}" for name in ("exit", "death", "switch", "step")]
    for name in [*names, "shaping.gamma", "shaping.scale"]:
        assert f"| `{name}` |" in writer.page()


def test_its_example_is_an_experiment(writer, tmp_path):
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", writer.HEAD, re.DOTALL | re.MULTILINE)
    file = tmp_path / "example.yaml"
    file.write_text(example)
    assignments = re.findall(r"`--set '?([a-z_.0-9]+=[^`']+)'?`", writer.HEAD)
    assert len(assignments) == 4
    experiment = load_experiment(file, assignments[1:])
    assert experiment.train.total_steps == 1_000_000
    assert experiment.seeds == (7, 1, 2)
