"""With workers, learners and shards of their own, samples do not pass through the algorithm's process."""

from dataclasses import replace

import numpy as np
import pytest
import ray

from rayrl.algorithms.sac import SACConfig
from tests.algorithms.offpolicy.traffic import counted

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]
ROUNDS, STEPS, ROWS = 4, 32, 4096


def test_the_counters_see_what_passes(ray_cluster):
    with counted() as traffic:
        ray.get(ray.put(np.zeros(1_000_000, np.uint8)))
    assert 2_000_000 <= traffic.objects < 2_010_000
    echo = ray.remote(lambda given: given)
    ray.get(echo.remote(b"warm"))
    with counted() as traffic:
        assert len(ray.get(echo.remote(bytes(50_000)))) == 50_000  # with the call, and inline
    assert 100_000 <= traffic.tcp < 400_000


def test_two_learners_and_two_shards_learn_past_this_process(build):
    config = (
        SACConfig()
        .environment("Pendulum-v1")
        .env_runners(num_env_runners=2, num_envs_per_env_runner=2, num_cpus_per_env_runner=0.2)
        .learners(num_learners=2, num_cpus_per_learner=0.2)
        .rl_module(model_config={"fcnet_hiddens": [16]})
        .replay(num_replay_shards=2, cpus_per_replay_shard=0.2, capacity=8000, sampler="prioritized")
        .training(num_steps_sampled_before_learning_starts=2048)
        .reporting(min_sample_timesteps_per_iteration=ROUNDS * STEPS)
    )
    algorithm = build(config)
    while algorithm.env_steps <= 2048 + ROUNDS * STEPS:
        result = algorithm.train()
    assert result["replay"]["sealed_blocks"] >= 4
    assert result["replay"]["hot_bytes"] > 0
    assert {view.store for view in algorithm.replay_buffer.statistics().shards.values()} == {"object_store"}
    one = algorithm.replay.draw(np.arange(1), algorithm._draws).draws[0][0].fetch()
    row = sum(column.nbytes for column in one.columns.values()) / len(one)
    algorithm._draws = replace(algorithm._draws, batch_size=ROWS)
    passed = []
    for _ in range(3):  # Ray's own news of tasks and metrics come at their time, and not with every iteration
        with counted() as traffic:
            result = algorithm.train()
        assert result["learners"]["default_policy"]["gradient_steps"] == ROUNDS * STEPS
        passed.append(traffic.total)
    sampled = 2 * ROUNDS * STEPS * ROWS * row
    print(f"of {sampled:,.0f} bytes sampled, passed: {passed}")
    # All that passed, with weights, metrics, calls and Ray's own traffic.
    assert min(passed) < 0.01 * sampled
