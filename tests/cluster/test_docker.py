"""docker/Dockerfile, as far as that goes without an engine: its stages, files, users and commands."""

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker" / "Dockerfile"
DEVICES = ("cpu", "cuda")


def instructions() -> list[tuple[str, str]]:
    """Name and arguments of each instruction."""
    text = "\n".join(line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line.strip())]


def of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def copied() -> list[str]:
    """What is copied from the repository."""
    return [path for rest in of("COPY") if not rest.startswith("--from") for path in rest.split()[:-1]]


@pytest.mark.parametrize("device", DEVICES)
def test_each_stage_is_built_from_one_that_is_there(device):
    defaults = dict(rest.split("=", 1) for rest in of("ARG"))
    assert defaults["DEVICE"] in DEVICES
    stages: set[str] = set()
    for rest in of("FROM"):
        base, stage = rest.replace("${DEVICE}", device).split(" AS ")
        if base not in stages:
            image, _, tag = base.replace("${PYTHON}", defaults["PYTHON"]).partition(":")
            # Patch version and distribution: nothing that moves on by itself to another Python.
            assert image == "python"
            assert re.fullmatch(r"3\.\d+\.\d+-slim-\w+", tag)
        stages.add(stage)
    assert {re.search(r"--from=(\w+)", rest)[1] for rest in of("COPY") if "--from" in rest} <= stages


def test_python_is_one_that_rayrl_supports():
    (tag,) = [rest.removeprefix("PYTHON=") for rest in of("ARG") if rest.startswith("PYTHON=")]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert tuple(map(int, tag.split(".")[:2])) >= tuple(map(int, declared.removeprefix(">=").split(".")))


def test_what_is_copied_is_there_and_not_ignored():
    kept = [
        line.removeprefix("!")
        for line in FILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert sorted(copied()) == sorted(kept)
    for path in copied():
        assert (ROOT / path).exists()


def test_what_is_copied_is_all_that_the_package_needs(tmp_path):
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    for path in copied():
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, source / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / path, source)
    build = ["wheel", "-qq", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (wheel,) = wheels.iterdir()
    shipped = set(zipfile.ZipFile(wheel).namelist())
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "rayrl").rglob("*") if path.is_file()}
    assert {path for path in ours if not fnmatch.fnmatch(path, "*__pycache__*")} <= shipped


def test_its_extras_are_declared_and_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = [rest.removeprefix("EXTRAS=") for rest in of("ARG") if rest.startswith("EXTRAS=")]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for extra in extras.split(","):
        assert set(project["optional-dependencies"][extra]) <= pinned
    assert any("PIP_CONSTRAINT=/src/constraints.txt" in rest for rest in of("ENV"))


def test_containers_run_as_the_user_to_whom_the_cluster_gives_its_files():
    (user,) = of("USER")
    assert user != "root"
    after = [name for name, _ in instructions()][[name for name, _ in instructions()].index("USER") :]
    assert "RUN" not in after
    (made,) = [rest for rest in of("RUN") if "useradd" in rest]
    uid = re.search(rf"--uid (\d+) .*{user}\b", made)[1]
    config = yaml.safe_load((ROOT / "cluster" / "aws.yaml").read_text())
    assert f"sudo chown {uid}:{uid} /mnt/efs" in config["initialization_commands"]


def test_login_shells_find_its_programs():
    (made,) = [rest for rest in of("RUN") if "profile.d" in rest]
    assert "echo 'export PATH=/opt/rayrl/bin:$PATH' > /etc/profile.d/rayrl.sh" in made
    assert any("PATH=/opt/rayrl/bin:$PATH" in rest for rest in of("ENV"))


def test_commands_are_shell():
    for command in of("RUN"):
        subprocess.run(["sh", "-n", "-c", command], check=True)
