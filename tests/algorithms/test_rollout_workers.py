"""Remote env runners: batches of the right size, and what becomes of workers that die."""

import os
import signal
from collections import Counter

import pytest
import ray
from ray.tune import register_env

from rayrl.errors import EnvError, TrainingError
from tests.algorithms.algorithms import next_batches, stateful_ppo
from tests.algorithms.failing_envs import DyingCartPole, RaisingCartPole

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def build(build, tmp_path):
    """Builds algorithms whose first worker dies at some step."""
    register_env("dying", DyingCartPole)
    register_env("raising", RaisingCartPole)

    def make(workers, env="dying", step=-1, **env_runners):
        config = stateful_ppo(workers, env=env).env_runners(**env_runners)
        return build(config.environment(env_config={"step": step, "marker": str(tmp_path / "died")}))

    return make


def epochs(batches):
    """The steps of each worker and epoch."""
    steps = Counter()
    for batch in batches:
        columns = batch.trajectory_columns
        for worker, epoch, rows in zip(columns["producer"], columns["epoch"], batch.lengths, strict=True):
            steps[int(worker), int(epoch)] += int(rows)
    return steps


def process_of(algorithm, worker):
    actor = algorithm.env_runner_group._worker_manager.actors()[worker]
    return ray.get(actor.apply.remote(lambda _: os.getpid()))


def test_three_workers_share_a_batch_that_is_no_multiple_of_their_environments(build):
    # 128 rows are 43 steps of 3 sub-environments each, but for one row: 14, 14 and 15 steps.
    algorithm = build(3)
    for i in range(2):
        assert algorithm.train()["num_env_steps_sampled_lifetime"] == 128 * (i + 1)
    batches = next_batches(algorithm)
    assert [batch.num_steps for batch in batches] == [42, 42, 44]
    assert [batch.trajectory_columns["producer"][0] for batch in batches] == [1, 2, 3]
    versions = [set(batch.trajectory_columns["policy_version_min"].tolist()) for batch in batches]
    assert versions == [{2}, {2}, {1, 2}]  # the row beyond the last batch opens this one


@pytest.mark.chaos
def test_a_worker_that_dies_while_sampling_costs_what_it_was_collecting(build):
    # Each worker takes 21 or 22 vector steps an iteration: its 30th is in the second.
    algorithm = build(2, step=30)
    algorithm.train()
    assert algorithm.exact
    result = algorithm.train()
    assert result["num_env_steps_sampled_lifetime"] == 256
    assert result["env_runners"]["exact"] == 0
    assert not algorithm.exact

    for _ in range(20):  # until Ray has restarted it
        assert algorithm.train()["env_runners"]["num_env_steps_sampled"] == 128
        if algorithm.env_runner_group.num_healthy_remote_env_runners() == 2:
            break
    assert epochs(next_batches(algorithm)) == {(1, 1): 63, (2, 0): 65}


@pytest.mark.chaos
def test_a_worker_that_dies_unseen_is_not_taken_for_its_former_self(build):
    algorithm = build(2)
    algorithm.train()
    os.kill(process_of(algorithm, 1), signal.SIGKILL)
    for _ in range(60):
        try:
            process_of(algorithm, 1)
            break
        except ray.exceptions.RayActorError:
            pass
    assert algorithm.env_runner_group.num_healthy_remote_env_runners() == 2, "RLlib has seen it"
    assert algorithm.train()["num_env_steps_sampled_lifetime"] == 256
    assert not algorithm.exact
    algorithm.train()
    assert epochs(next_batches(algorithm)) == {(1, 1): 63, (2, 0): 65}


def test_an_environment_that_keeps_raising_ends_the_run_with_its_traceback(build):
    algorithm = build(1, env="raising")
    with pytest.raises(EnvError, match="the pole fell off") as raised:
        algorithm.train()
    assert "failing_envs.py" in str(raised.value)
    assert raised.value.where == "environment of worker 1"


@pytest.mark.chaos
def test_a_worker_may_be_done_without(build):
    algorithm = build(2, step=5, restart_failed_env_runners=False, ignore_env_runner_failures=True)
    for i in range(3):
        assert algorithm.train()["num_env_steps_sampled_lifetime"] == 128 * (i + 1)
    assert epochs(next_batches(algorithm)) == {(2, 0): 128}


@pytest.mark.chaos
def test_a_worker_may_be_needed(build):
    algorithm = build(2, step=5, restart_failed_env_runners=False)
    with pytest.raises(TrainingError, match="env runner 1: died"):
        algorithm.train()


@pytest.mark.chaos
def test_with_all_workers_lost_the_first_to_come_back_goes_on(build):
    algorithm = build(1, step=30)
    algorithm.train()
    assert algorithm.train()["num_env_steps_sampled_lifetime"] == 256
    assert epochs(next_batches(algorithm)) == {(1, 1): 128}
