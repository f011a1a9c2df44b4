"""The documentation: links lead somewhere, commands and options exist, and the README's example runs."""

import ast
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import click
import pytest
import typer
from gymnasium.utils.env_checker import check_env
from ray.scripts.scripts import cli as ray_cli

import rayrl
from rayrl.cli.main import app
from rayrl.pipeline import preflight
from rayrl.pipeline.experiment import load_experiment

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def commands() -> set[str]:
    """Lines that a shell is given; of those with other programs, the lines of Ray and rayrl."""
    lines = {line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()}
    others = {line for page in PAGES for block in blocks(page, "bash") for line in block.splitlines()}
    return lines | {line for line in others if line.startswith(("ray ", "rayrl "))}


COMMANDS = sorted(commands())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_each_page_is_linked():
    linked = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in {*linked, ROOT / "README.md"}] == []


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_exist(line):
    program, *arguments = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
        return
    name = program.removeprefix(".venv/bin/")
    assert (Path(sys.executable).parent / name).exists()
    if name == "rayrl":
        name, *options = arguments
        command = typer.main.get_command(app).commands[name]
        while hasattr(command, "commands"):
            name, *options = options
            command = command.commands[name]
        # Parses the arguments as the command would, and raises where it has no such option.
        command.make_context(name, options)
    elif name == "ray":
        command = ray_cli
        while isinstance(command, click.Group):
            # `ray job submit` is a command of a group.
            command = command.commands[arguments.pop(0)]
        command.make_context(command.name, arguments)


def test_the_readmes_calls_fit():
    calls = [
        node
        for block in blocks(ROOT / "README.md", "python")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and re.fullmatch(r"rayrl(\.\w+)+", ast.unparse(node.func))
    ]
    called = {ast.unparse(call.func) for call in calls}
    assert called >= {"rayrl.run", "rayrl.load_policy", "rayrl.evaluate", "rayrl.collect"}
    for call in calls:
        function = attrgetter(ast.unparse(call.func).removeprefix("rayrl."))
        keywords = {keyword.arg: ... for keyword in call.keywords}
        # Raises where the function has no such argument.
        inspect.signature(function(rayrl)).bind(*call.args, **keywords)


@pytest.fixture
def corridor(tmp_path, monkeypatch) -> Path:
    """The README's example, as its reader would write it down: a module and an experiment file."""
    for language in ("python", "yaml"):
        for block in blocks(ROOT / "README.md", language):
            if named := re.match(r"# (corridor\.\w+)\n", block):
                (tmp_path / named[1]).write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "corridor", raising=False)
    return tmp_path / "corridor.yaml"


@pytest.mark.filterwarnings("ignore:.*A Box observation space:UserWarning")
def test_the_readmes_environment_is_one(corridor):
    experiment = load_experiment(corridor)
    preflight.check_environment(experiment)
    environment = importlib.import_module("corridor").Corridor(**experiment.env.config)
    check_env(environment, skip_render_check=True)
    assert environment.length == 20


@pytest.mark.slow
@pytest.mark.xdist_group("runs")
def test_the_readmes_experiment_runs_to_its_report(corridor):
    command = Path(sys.executable).parent / "rayrl"
    arguments = [command, "run", corridor, "--smoke", "--local"]
    printed = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
    report = Path(printed.splitlines()[-1])
    assert report.name == "report.html"
    assert report.is_file()
