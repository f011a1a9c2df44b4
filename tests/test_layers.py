"""Imports between rayrl's packages point only downwards, as docs/architecture.md draws them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS: dict[str, set[str]] = {
    "config": set(),
    "storage": {"config"},
    "experience": {"config", "storage"},
    "envs": {"config"},
    "models": {"config", "storage"},
    "rollout": {"experience", "envs", "models"},
    "algorithms": {"experience", "models", "rollout"},
    "evaluation": {"envs", "models", "rollout"},
    "report": {"storage", "evaluation"},
    "comparison": {"report"},
    "pipeline": {"algorithms", "comparison"},
    "doctor": {"pipeline"},
    "cli": {"doctor"},
}
"""What each package may import, and with it all that those may. ``rayrl.errors`` is for everyone."""

MODULES = sorted((ROOT / "rayrl").rglob("*.py"))
SCRIPTS = sorted((ROOT / "jobs").glob("*.py"))


def reachable(package: str) -> set[str]:
    below = LAYERS[package]
    return below.union(*(reachable(other) for other in below))


def imported_packages(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """The line and the name below ``rayrl`` of each import of rayrl's own, wherever in the source it stands.

    Args:
        source: a module's text.
        package: the dotted name of the package in which the module is, in parts.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name[1] if len(name) > 1 else "") for name in names if name[0] == "rayrl")


def test_each_package_has_its_place():
    packages = {path.parent.name for path in (ROOT / "rayrl").glob("*/__init__.py")}
    assert packages == LAYERS.keys()


def test_no_package_is_above_itself():
    assert [package for package in LAYERS if package in reachable(package)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    inside = path.relative_to(ROOT).parts[:-1]
    found = list(imported_packages(path.read_text(), inside))
    if len(inside) == 1:
        # rayrl/__init__.py offers names from all packages, and rayrl/errors.py imports nothing.
        assert path.name == "__init__.py" or not found
        return
    allowed = reachable(inside[1]) | {inside[1], "errors"}
    assert [f"line {line}: rayrl.{name}" for line, name in found if name not in allowed] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_jobs_are_thin(path):
    source = path.read_text()
    assert {name for _, name in imported_packages(source, ())} == {"pipeline"}
    assert len(source.splitlines()) < 20


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import rayrl.models.policy", ["models"]),
        ("def f():\n    from rayrl.envs import spec", ["envs"]),
        ("from rayrl import report", ["report"]),
        ("from .. import cli", ["cli"]),
        ("from ..cli.main import app", ["cli"]),
        ("from . import batch", ["experience"]),
        ("import ray, rayrl", [""]),
        ("from ray.rllib import algorithms", []),
    ],
)
def test_every_way_to_import_is_seen(source, names):
    assert [name for _, name in imported_packages(source, ("rayrl", "experience"))] == names
