"""Runs of the counting stages, in this process and as the `rayrl` command."""

import os
import socket
from pathlib import Path
from typing import Any

import counting_stage
import pytest
import yaml
from rayrl_command import Command, Watch

from rayrl.pipeline import stages
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.private_ray import PrivateRay
from rayrl.pipeline.run_folder import RunFolder, invocation_of

EXPERIMENT = """
name: counting
seeds: [0]
env: {id: CartPole-v1}
conditions: [no_pretrain]
train: {gpus_per_learner: 0, options: {to: 6, delay: 0.05}}
"""


def prepare_run(path: Path, values: dict[str, Any]) -> RunFolder:
    """A prepared run folder of an experiment, whose file is beside it."""
    file = path.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(values))
    folder = RunFolder(path)
    folder.prepare(load_experiment(file), invocation_of(file, (), smoke=False))
    return folder


@pytest.fixture
def counting(monkeypatch, no_ray):
    """The counting stages as the only ones in this process, where they count without Ray."""
    monkeypatch.setattr(stages, "_kinds", {})
    counting_stage.register()


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "counting.yaml"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture
def prepared(tmp_path, file, counting):
    """A prepared run folder of the counting experiment, and its experiment."""

    def prepare(*overrides: str):
        folder = RunFolder(tmp_path / "run")
        folder.prepare(load_experiment(file, overrides), invocation_of(file, overrides, smoke=False))
        return folder, folder.experiment()

    return prepare


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def watch(folder) -> Watch:
    return Watch(folder)


@pytest.fixture(scope="module")
def ray_by_hand(tmp_path_factory):
    """A Ray that no run owns, with a GPU by name only, and how to reach it."""
    home = tmp_path_factory.mktemp("cluster")
    lock = os.open(home / "lock", os.O_CREAT | os.O_RDWR)
    mark = f"test-{socket.gethostname()}-{os.getpid()}"
    with PrivateRay(cpus=2, gpus=1, log=home / "supervisor.log", mark=mark, hold=lock) as ray:
        yield ray, ray.wait()
    os.close(lock)


@pytest.fixture
def cluster(ray_by_hand) -> dict[str, str]:
    """What makes the command find that Ray."""
    _, access = ray_by_hand
    return {
        "RAY_API_SERVER_ADDRESS": access.dashboard,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": access.token,
    }


@pytest.fixture
def rayrl(tmp_path, file):
    """Starts `rayrl` with the counting stages, as a process; those still alive at the end are killed."""
    started: list[Command] = []

    def start(*arguments: object, env: dict[str, str] | None = None) -> Command:
        command = Command([str(argument) for argument in arguments], cwd=tmp_path, env=env or {})
        started.append(command)
        return command

    yield start
    for command in started:
        command.kill()
