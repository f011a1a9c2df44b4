"""The process that clones one seed is killed for real: that seed fails alone, and is tried again."""

import json
import threading
import time

import psutil
import pytest
from run_fixtures import prepare_run

from rayrl.pipeline import pretrain_process
from rayrl.pipeline.execution import run_unit, why_run
from rayrl.pipeline.failure import failed_in, read_failure
from rayrl.pipeline.stages import plan
from tests.local_ray import local_ray

pytestmark = pytest.mark.chaos

EPOCHS = 40


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    with local_ray(num_cpus=2):
        yield


def prepared(path):
    values = {
        "name": "cart",
        "seeds": [0, 1, 2],
        "env": {"id": "CartPole-v1"},
        "architectures": ["mlp_baseline", {"name": "small", "base": "mlp_baseline"}],
        "conditions": ["with_pretrain"],
        "collect": {"demonstrators": {"random": 1}, "steps": 512},
        "pretrain": {"epochs": EPOCHS, "early_stop_patience": EPOCHS},
        "train": {"gpus_per_learner": 0, "options": {"model_config": {"fcnet_hiddens": [8]}}},
    }
    return prepare_run(path, values)


def kill_at(checkpoint):
    """Kills the process that clones as soon as the checkpoint is there."""
    deadline = time.monotonic() + 300
    while not (checkpoint / "identity.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (cloning,) = (
        process
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith("ray::_clone") or "ray::_clone" in "".join(process.cmdline())
    )
    cloning.kill()


def test_a_killed_seed_fails_alone_and_goes_on_from_its_newest_epoch(tmp_path):
    folder = prepared(tmp_path / "run")
    experiment = folder.experiment()
    collect, mlp, small = plan(experiment)[:3]
    assert run_unit(collect, folder, experiment)
    seeds = [folder.path / "mlp_baseline" / "pretrain" / f"seed_{seed}" for seed in range(3)]
    killer = threading.Thread(target=kill_at, args=[seeds[1] / "checkpoint"])
    killer.start()
    assert run_unit(mlp, folder, experiment)
    killer.join()

    failure = read_failure(seeds[1])
    assert (failure.name, failure.kind) == ("mlp_baseline-pretrain-seed_1", "lost")
    assert "WorkerCrashedError" in failure.error
    assert str(folder.logs / "pretrain-mlp_baseline.log") in failure.error
    assert failure.resources.peak_memory_bytes > 50 * 2**20
    assert list(failed_in(folder.stage(mlp.name))) == [failure.name]
    assert [(seed / "policy").exists() for seed in seeds] == [True, False, True]
    assert run_unit(small, folder, experiment)

    reached = len((seeds[1] / "curve.jsonl").read_text().splitlines())
    assert 0 < reached < EPOCHS
    first = (seeds[1] / "curve.jsonl").read_text().splitlines()[0]
    written = (seeds[0] / "manifest.json").stat().st_mtime_ns
    assert why_run(mlp, folder, experiment) == "mlp_baseline-pretrain-seed_1 failed before"
    assert run_unit(mlp, folder, experiment)
    assert read_failure(seeds[1]) is None
    assert failed_in(folder.stage(mlp.name)) == {}
    curve = (seeds[1] / "curve.jsonl").read_text().splitlines()
    assert (curve[0], len(curve)) == (first, EPOCHS)
    assert (seeds[0] / "manifest.json").stat().st_mtime_ns == written
    assert json.loads((seeds[1] / "summary.json").read_text())["seconds"] > 0


def test_what_the_kernel_ended_for_want_of_memory_is_said_so(tmp_path, monkeypatch):
    folder = prepared(tmp_path / "run")
    experiment = folder.experiment()
    collect, mlp = plan(experiment)[:2]
    assert run_unit(collect, folder, experiment)
    home = folder.path / "mlp_baseline" / "pretrain" / "seed_0"
    # The kill is real; that the kernel did it is told by its counter, which only root can raise in a group.
    kills = iter([4, 5, *[5] * 9])
    monkeypatch.setattr(pretrain_process, "oom_kills", lambda: next(kills))
    killer = threading.Thread(target=kill_at, args=[home / "checkpoint"])
    killer.start()
    assert run_unit(mlp, folder, experiment)
    killer.join()
    failure = read_failure(home)
    assert failure.kind == "out_of_memory"
    assert "the kernel ended its process" in failure.error
    assert "having had up to" in failure.error
    assert "pretrain.batch_size (now 256)" in failure.error
