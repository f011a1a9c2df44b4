"""Ray's memory monitor ends a trial's process for real: it fails with its peak and remedies, alone."""

import psutil
import pytest
from run_fixtures import prepare_run

from rayrl.pipeline.execution import run_unit
from rayrl.pipeline.failure import read_failure
from rayrl.pipeline.stages import plan
from rayrl.pipeline.trial import read_trial
from tests.local_ray import local_ray

pytestmark = pytest.mark.chaos

GIB = 2**30
ROOM = 4 * GIB
"""What trials may take beyond what is in use when the test begins, before Ray ends one."""


def test_a_trial_that_ray_ends_for_its_memory_fails_alone(tmp_path):
    memory = psutil.virtual_memory()
    if memory.available < 3 * ROOM:
        pytest.skip(f"needs {3 * ROOM / GIB:g} GiB that are free, to endanger nobody")
    # Ray looks at the whole machine, or the container; one trial at a time, so that it can end no other.
    threshold = (memory.total - memory.available + ROOM) / memory.total
    options = {"train_batch_size_per_learner": 64, "minibatch_size": 32, "num_epochs": 1}
    options["model_config"] = {"fcnet_hiddens": [4]}
    values = {
        "name": "hoard",
        "seeds": [0, 1, 2],
        "env": {"id": "tests.chaos.hoarder:Hoarder", "config": {"most": ROOM + 2 * GIB}},
        "conditions": ["no_pretrain"],
        "train": {"total_steps": 128, "envs_per_runner": 1, "gpus_per_learner": 0, "options": options},
        "evaluate": {"episodes": 2},
    }
    folder = prepare_run(tmp_path / "run", values)
    experiment = folder.experiment()
    system = {"memory_usage_threshold": threshold, "memory_monitor_refresh_ms": 50}
    with local_ray(num_cpus=1, _system_config=system):
        assert run_unit(plan(experiment)[0], folder, experiment)

    trials = folder.path / "mlp_baseline" / "no_pretrain"
    failure = read_failure(trials / "seed_1")
    assert failure.kind == "out_of_memory"
    assert failure.resources.peak_memory_bytes > GIB / 8
    assert "having had up to" in failure.error
    assert "train.envs_per_runner (now 1)" in failure.error
    for seed in (0, 2):
        assert read_failure(trials / f"seed_{seed}") is None
        assert read_trial(folder, "mlp_baseline", "no_pretrain", seed).state == "finished"
