"""docs/migrating.md names only what rayrl has: keys of the experiment file, commands and their options."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import rayrl
from rayrl.algorithms import PPOConfig
from rayrl.algorithms.ppo.options import ReferenceKL, Stabilization, TemperatureControl
from rayrl.cli.main import app
from rayrl.config.reference import options_of
from rayrl.envs.router.config import RouterConfig
from rayrl.models import architectures
from rayrl.pipeline.experiment import Experiment

PAGE = Path(__file__).parents[1] / "docs" / "migrating.md"
ROWS = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
FORMS = sorted({code for row in ROWS for code in re.findall(r"`([^`]+)`", row[-1])})


def keys(model, prefix=""):
    for option in options_of(model):
        yield prefix + option.name
        if option.section is not None:
            yield from keys(option.section, f"{prefix}{option.name}.")


KEYS = {
    *keys(Experiment),
    *keys(RouterConfig, "env.config."),
    *keys(ReferenceKL, "train.options.kl_ref."),
    *keys(TemperatureControl, "train.options.temperature."),
    *keys(Stabilization, "train.options.stabilization."),
    *(f"train.options.{name}" for name in {*PPOConfig.honoured, "train_batch_size_per_learner"}),
}


def test_every_row_has_two_cells():
    assert len(ROWS) > 80
    assert [row for row in ROWS if len(row) != 2] == []


@pytest.mark.parametrize("key", [form for form in FORMS if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", form)])
def test_keys_exist(key):
    if key.startswith("rayrl."):
        assert hasattr(rayrl, key.removeprefix("rayrl."))
    elif Path(key).suffix not in (".json", ".jsonl"):
        assert key in KEYS


@pytest.mark.parametrize("command", [form for form in FORMS if form.startswith("rayrl ")])
def test_commands_exist(command):
    _, name, *options = shlex.split(command)
    found = typer.main.get_command(app).commands[name]
    while hasattr(found, "commands"):
        name, *options = options
        found = found.commands[name]
    found.make_context(name, options)


def test_what_is_said_to_be_missing_is_missing():
    """A line that says "not yet" is to go when the time has come."""
    missing = {row[0] for row in ROWS if "not yet" in row[-1]}
    assert set(architectures.names()).isdisjoint(re.findall(r"`(\w+)`", " ".join(missing)))
    assert dict(Experiment.model_fields)["artifacts"].annotation is type(None)
