"""docs/rllib.md and the record of the defaults say what the code does."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ray.rllib.algorithms import ppo

from rayrl.algorithms import PPOConfig
from rayrl.algorithms.rllib_options import UNSUPPORTED

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "rllib.md"


def rows(text: str) -> list[tuple[str, ...]]:
    """The cells of every row whose first cell is a name in backticks."""
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [tuple(cell.strip(" `") for cell in line) for line in lines]


def test_every_refused_option_is_in_the_table():
    table = PAGE.read_text().split("## What is not supported")[1]
    assert dict(rows(table)) == UNSUPPORTED


def test_the_defaults_of_rayrls_own_options():
    table = rows(PAGE.read_text().split("## Options of rayrl's own")[1].split("## ")[0])
    assert len(table) == 17
    config = PPOConfig()
    for name, _, default in table:
        assert getattr(config, name) == ast.literal_eval(default), name


def test_the_defaults_that_are_not_rllibs():
    table = rows((DOCS / "decisions" / "0005-ppo-defaults.md").read_text())
    assert len(table) == 10
    for name, ours, theirs in table:
        assert getattr(PPOConfig(), name) == ast.literal_eval(ours), name
        assert getattr(ppo.PPOConfig(), name) == ast.literal_eval(theirs), name


@pytest.mark.xdist_group("learning")
def test_the_example_runs():
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    check = "\nassert result['num_env_steps_sampled_lifetime'] == 2048\n"
    subprocess.run([sys.executable, "-c", example + check], check=True)
