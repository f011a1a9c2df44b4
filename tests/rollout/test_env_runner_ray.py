"""The env runner as a Ray actor, made by RLlib."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rayrl.errors import EnvError
from tests.rollout.test_env_runner import config_for, runner_for

WALK = "tests.rollout.runner_envs:BreakableWalk"


@pytest.fixture(scope="module")
def flag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file is there, the actors' environments raise."""
    return tmp_path_factory.mktemp("flag") / "broken"


@pytest.fixture(scope="module")
def group(ray_cluster: None, flag: Path) -> Iterator[EnvRunnerGroup]:
    config = config_for(WALK, {"broken": str(flag)}, max_env_failures=2)
    config.env_runners(num_env_runners=2, num_cpus_per_env_runner=1)
    config.fault_tolerance(restart_failed_env_runners=True, delay_between_env_runner_restarts_s=0)
    config.validate()
    group = EnvRunnerGroup(config=config, local_env_runner=True)
    yield group
    group.stop()


def order(group: EnvRunnerGroup, worker: int, steps: int) -> Any:
    """References to the receipt and the batch of one worker."""
    actor: Any = group._worker_manager.actors()[worker]
    return actor.sample_with.options(num_returns=2).remote({}, steps)


def test_actors_collect_what_runners_in_this_process_do(group: EnvRunnerGroup, flag: Path) -> None:
    weights = group.foreach_env_runner(lambda runner: runner.module.get_state(), local_env_runner=False)
    samples = group.foreach_env_runner(lambda runner: runner.sample(num_timesteps=20), local_env_runner=False)
    for worker, (state, (receipt, batch)) in enumerate(zip(weights, samples, strict=True), start=1):
        here = runner_for(WALK, worker=worker, workers=2, env_config={"broken": str(flag)})
        assert here.module is not None
        here.module.set_state(state)
        assert here.sample(num_timesteps=20)[1] == batch
        assert receipt.producer == worker
    assert samples[0][1] != samples[1][1]
    assert group.local_env_runner.env is None


def test_an_environment_that_keeps_raising_is_told_with_its_traceback(
    group: EnvRunnerGroup, flag: Path
) -> None:
    flag.touch()
    receipt, _ = order(group, 1, 30)
    with pytest.raises(EnvError, match="the simulator crashed") as raised:
        ray.get(receipt)
    flag.unlink()
    assert "environment of worker 1: raised 3 times with no episode or batch finished" in str(raised.value)
    assert "runner_envs.py" in str(raised.value)
    # It is the environment that is broken, not the worker.
    assert ray.get(order(group, 1, 30)[0]).num_steps == 30


def test_a_batch_outlives_the_actor_that_made_it(group: EnvRunnerGroup) -> None:
    answers = [order(group, worker, 30) for worker in (1, 2)]
    receipts = [ray.get(receipt) for receipt, _ in answers]
    pids = group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for receipt, (_, batch) in zip(receipts, answers, strict=True):
        assert receipt.lengths.tolist() == ray.get(batch).lengths.tolist()

    deadline = time.monotonic() + 120
    restored: list[int] = []
    for worker in (1, 2):
        group._worker_manager.set_actor_state(worker, healthy=False)
    while len(restored) < 2 and time.monotonic() < deadline:
        restored += group.probe_unhealthy_env_runners(timeout_seconds=1)
    assert sorted(restored) == [1, 2]
    assert not set(pids) & set(group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False))
    ray.get(group._worker_manager.actors()[1].begin_epoch.remote(1))
    receipt, batch = ray.get(list(order(group, 1, 30)))
    assert (receipt.epoch, receipt.sequence) == (1, 0)
    assert batch.num_steps == 30
