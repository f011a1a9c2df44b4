"""What a stage warns of is on the terminal and in its records."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from rayrl.envs.demonstrators import register_demonstrator
from rayrl.pipeline import collect_stage
from rayrl.pipeline.execution import run_unit
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.local import local_runner
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.records import last_records
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.stages import StageKind, StageUnit


class AlwaysLeft:
    """Never takes action 1."""

    def __init__(self, *, seed):
        pass

    def act(self, env, observations):
        return np.zeros(env.num_envs, np.int64)

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


@pytest.fixture
def folder(tmp_path, own_demonstrators):
    register_demonstrator("CartPole-v1", "always_left", f"{__name__}:AlwaysLeft")
    file = tmp_path / "cart.yaml"
    file.write_text(
        "name: cart\nseeds: [0]\nenv: {id: CartPole-v1}\n"
        "collect: {demonstrators: {always_left: 1}, steps: 64}\n"
    )
    made = RunFolder(tmp_path / "run")
    made.prepare(load_experiment(file), invocation_of(file, (), smoke=False))
    return made


def test_an_action_that_nobody_took_is_warned_of(folder):
    printed = io.StringIO()
    view = RunView(Console(file=printed, highlight=False, soft_wrap=True))
    kind = StageKind("collect", run=f"{collect_stage.__name__}:run", reads=("env", "collect"), uses_ray=False)
    with local_runner(folder, folder.experiment(), view) as run_one:
        assert run_one(StageUnit(kind))
    assert "collect: warning: no demonstrator ever took action 1: " in printed.getvalue()
    records = [json.loads(line) for line in (folder.logs / "collect.jsonl").read_text().splitlines()]
    assert [record["level"] for record in records if record.get("event") == "warning"] == ["WARNING"]


def test_collecting_again_keeps_what_is_there(folder):
    kind = StageKind("collect", run=f"{collect_stage.__name__}:run", reads=("env", "collect"), uses_ray=False)
    assert run_unit(StageUnit(kind), folder, folder.experiment())
    before = {file: file.stat().st_mtime_ns for file in (folder.path / "collect").iterdir()}
    assert run_unit(StageUnit(kind), folder, folder.experiment())
    assert {file: file.stat().st_mtime_ns for file in (folder.path / "collect").iterdir()} == before


def test_what_a_copy_brought_in_part_is_collected_again(folder):
    kind = StageKind("collect", run=f"{collect_stage.__name__}:run", reads=("env", "collect"), uses_ray=False)
    assert run_unit(StageUnit(kind), folder, folder.experiment())
    (part,) = (folder.path / "collect").glob("part-*")
    whole = part.read_bytes()
    part.write_bytes(whole[:100])
    assert run_unit(StageUnit(kind), folder, folder.experiment())
    assert part.read_bytes() == whole
    told = [record["message"] for record in last_records(folder.logs / "collect.jsonl") if "event" in record]
    assert f"{part}: has 100 bytes, not {len(whole)}: collecting the same demonstrations again" in told
