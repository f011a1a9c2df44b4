"""Pretraining of several seeds: in processes of their own, or in this one, and of nothing at all."""

import json
import time

import pytest
from run_fixtures import prepare_run

from rayrl.errors import DataError
from rayrl.pipeline import collect_stage
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.execution import run_unit
from rayrl.pipeline.failure import read_failure
from rayrl.pipeline.pretrain_seed import SeedCloning
from rayrl.pipeline.pretrain_stage import run
from rayrl.pipeline.stages import plan
from rayrl.pipeline.trial_spec import pretrain_folder
from rayrl.storage.hashing import sha256_path
from rayrl.storage.manifest import MANIFEST_FILE

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def prepare(tmp_path):
    """A prepared run, and its units."""

    def make(name="run", *, seeds=(0, 1), conditions=("no_pretrain", "with_pretrain"), epochs=3):
        values = {
            "name": "cart",
            "seeds": list(seeds),
            "env": {"id": "CartPole-v1"},
            "conditions": list(conditions),
            "collect": {"demonstrators": {"random": 1}, "steps": 256},
            "pretrain": {"epochs": epochs, "early_stop_patience": epochs},
            "train": {"gpus_per_learner": 0, "options": {"model_config": {"fcnet_hiddens": [8]}}},
        }
        folder = prepare_run(tmp_path / name, values)
        return folder, plan(folder.experiment())

    return make


def test_apart_a_seed_is_what_it_is_here(prepare):
    digests = []
    for local in (False, True):
        folder, (collect, pretrain, *_) = prepare(f"local-{local}")
        assert run_unit(collect, folder, folder.experiment())
        assert run_unit(pretrain, folder, folder.experiment(), local=local)
        homes = [pretrain_folder(folder, "mlp_baseline", seed) for seed in (0, 1)]
        digests.append([sha256_path(home / "policy" / "weights.safetensors") for home in homes])
        assert all((home / "resources.json").exists() for home in homes)
        records = (folder.logs / "pretrain-mlp_baseline.jsonl").read_text().splitlines()
        told = [record for record in map(json.loads, records) if record.get("event") == "progress"]
        assert (told[-1]["done"], told[-1]["total"]) == (6, 6)
    assert digests[0] == digests[1]


def leave_no_demonstrations(folder, collect):
    """The writer finishes no empty dataset; another's manifest may list no file."""
    assert run_unit(collect, folder, folder.experiment())
    file = collect_stage.demonstrations_folder(folder) / MANIFEST_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"files": []}))


def test_of_no_demonstrations_each_seed_says_that_there_is_nothing_to_clone(prepare):
    folder, (collect, pretrain, *_) = prepare()
    leave_no_demonstrations(folder, collect)
    outputs = run(StageContext(folder.experiment(), folder, pretrain))
    names = [f"mlp_baseline-pretrain-seed_{seed}" for seed in (0, 1)]
    assert (outputs.files, list(outputs.extra["failed"])) == ((), names)
    for seed in (0, 1):
        failure = read_failure(pretrain_folder(folder, "mlp_baseline", seed))
        assert failure.kind == "error"
        assert "the demonstrations hold no step: there is nothing to clone" in failure.error
        assert "raise collect.steps" in failure.error


@pytest.mark.parametrize("local", [False, True])
def test_of_no_demonstrations_alone_the_stage_fails(prepare, local):
    folder, (collect, pretrain, *_) = prepare(seeds=[0], conditions=["with_pretrain"])
    leave_no_demonstrations(folder, collect)
    with pytest.raises(DataError, match="there is nothing to clone"):
        run(StageContext(folder.experiment(), folder, pretrain, local=local))


def test_seconds_are_those_of_the_clone_over_all_its_parts(prepare, monkeypatch):
    folder, (collect, pretrain, *_) = prepare(seeds=[0])
    assert run_unit(collect, folder, folder.experiment())
    home = pretrain_folder(folder, "mlp_baseline", 0)
    seen = []

    def stop():
        seen.append(None)
        return len(seen) > 2

    stopped = StageContext(folder.experiment(), folder, pretrain, interrupted=stop, local=True)
    assert run(stopped) is None
    assert len((home / "curve.jsonl").read_text().splitlines()) == 2
    file = home / "checkpoint" / "seconds.json"
    assert 0 < float(file.read_text()) < 500
    file.write_text("1000.0")
    monkeypatch.setattr(SeedCloning, "_ceiling", lambda self: time.sleep(1.5))
    start = time.monotonic()
    assert run(StageContext(folder.experiment(), folder, pretrain, local=True)) is not None
    seconds = json.loads((home / "summary.json").read_text())["seconds"]
    assert 1000 < seconds < 1000 + (time.monotonic() - start) - 1.4


def test_what_a_seed_came_to_before_is_gone_before_it_is_cloned_again(prepare):
    folder, (collect, pretrain, *_) = prepare(seeds=[0])
    experiment = folder.experiment()
    assert run_unit(collect, folder, experiment)
    assert run_unit(pretrain, folder, experiment, local=True)
    home = pretrain_folder(folder, "mlp_baseline", 0)
    (home / "eval_results.json").write_text("{}")
    again, (_, pretrain, *_) = prepare(seeds=[0], epochs=4)
    stopped = StageContext(again.experiment(), again, pretrain, interrupted=lambda: True, local=True)
    assert run(stopped) is None
    names = ("manifest.json", "summary.json", "eval_results.json", "policy")
    assert not any((home / name).exists() for name in names)
