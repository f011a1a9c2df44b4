"""The package: what it declares, what is pinned, and that it works where only the package is installed."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = {
    canonicalize_name(line.partition("==")[0])
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line
}


def declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def needed(name: str, extras: frozenset[str], found: set[str]) -> set[str]:
    """Adds to ``found`` all that a distribution needs on this platform, itself included."""
    found.add(canonicalize_name(name))
    try:
        requirements = map(Requirement, requires(name) or ())
    except PackageNotFoundError:
        return found
    for requirement in requirements:
        applies = not requirement.marker or any(
            requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras}
        )
        if applies and canonicalize_name(requirement.name) not in found:
            needed(requirement.name, frozenset(requirement.extras), found)
    return found


def test_what_is_imported_is_declared():
    trees = [ast.parse(path.read_text()) for path in (ROOT / "rayrl").rglob("*.py")]
    imports = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom) and node.module}
    tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"rayrl"}
    distributions = packages_distributions()
    own = declared(PROJECT["dependencies"])
    undeclared = {top for top in tops if own.isdisjoint(map(canonicalize_name, distributions.get(top, ())))}
    assert undeclared == set()


def test_all_that_is_installed_is_pinned():
    everything = needed("rayrl", frozenset({"dev", "mujoco"}), set()) - {"rayrl"}
    assert everything - PINNED == set()


def test_torch_is_pinned_without_a_build():
    assert re.search(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds what a wheel of rayrl puts into site-packages, built from a copy of the sources."""
    home = tmp_path_factory.mktemp("packaging")
    source, wheels, site = home / "source", home / "wheels", home / "site"
    shutil.copytree(ROOT / "rayrl", source / "rayrl", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    build = ["wheel", "-qq", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (wheel,) = wheels.iterdir()
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_the_wheel_holds_every_file_of_the_package(installed):
    sources = {path.relative_to(ROOT) for path in (ROOT / "rayrl").rglob("*") if path.is_file()}
    shipped = {path.relative_to(installed) for path in (installed / "rayrl").rglob("*") if path.is_file()}
    assert {path for path in sources if "__pycache__" not in path.parts} == shipped


def test_the_installed_command_runs_stages_without_the_jobs_folder(installed, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(installed)}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode()

    assert "Runs an experiment to its report" in python("-m", "rayrl.cli.main", "--help")
    code = (
        "import rayrl; from rayrl.pipeline.stages import stage_kind; "
        "print(rayrl.__file__, stage_kind('collect').entry_point)"
    )
    assert python("-c", code).split() == [str(installed / "rayrl" / "__init__.py"), "None"]
