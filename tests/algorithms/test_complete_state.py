"""A restored algorithm goes on bit for bit: weights, optimizer, coefficients, counters, actions, metrics."""

import logging

import pytest

from rayrl.algorithms.bc import BCConfig
from rayrl.algorithms.dqn import DQNConfig
from rayrl.algorithms.ppo import PPO
from rayrl.algorithms.sac import SACConfig
from tests.algorithms.algorithms import (
    held_ppo,
    metrics_of,
    next_batches,
    off_policy,
    start,
    state_of,
    stateful_ppo,
)
from tests.algorithms.bc.demonstrations import write_demonstrations
from tests.algorithms.learners import assert_same

pytestmark = pytest.mark.usefixtures("ray_cluster")


def train(algorithm, iterations):
    return [metrics_of(algorithm.train()) for _ in range(iterations)]


@pytest.mark.parametrize(
    ("workers", "learners"),
    [
        (0, 0),
        (1, 1),
        pytest.param(1, 0, marks=pytest.mark.slow),
        pytest.param(0, 1, marks=pytest.mark.slow),
        pytest.param(2, 2, marks=pytest.mark.slow),
    ],
)
def test_ppo_goes_on_where_it_was_saved(build, tmp_path, workers, learners):
    whole = build(stateful_ppo(workers, learners))
    train(whole, 2)
    whole.save_to_path(tmp_path)
    expected = train(whole, 2)
    state = state_of(whole)

    other = build(stateful_ppo(workers, learners))
    other.restore_from_path(tmp_path)
    assert_same(train(other, 2), expected)
    assert_same(state_of(other), state)

    # The same in place: back to a checkpoint that is older than what runs.
    whole.restore_from_path(tmp_path)
    assert_same(train(whole, 2), expected)
    assert_same(state_of(whole), state)

    assert whole.exact
    assert other.exact
    assert expected[-1]["env_runners"]["exact"] == 1
    assert next_batches(whole) == next_batches(other)


@pytest.mark.parametrize(
    ("workers", "learners"),
    [
        (0, 0),
        pytest.param(1, 1, marks=pytest.mark.slow),
        pytest.param(2, 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("saved_after", [1, 3])
def test_a_policy_that_is_held_goes_on_where_it_was_saved(build, tmp_path, workers, learners, saved_after):
    # Saved in the critic's warm-up, whose actor has no optimizer state yet, and in a pulse beyond it.
    whole = build(held_ppo(workers, learners))
    start(whole)
    train(whole, saved_after)
    whole.save_to_path(tmp_path)
    expected = train(whole, 2)
    state = state_of(whole)
    assert state["steering"]["stabilization_steps"] == 200
    assert state["steering"]["temperature"]["iterations"] == saved_after + 2
    assert state["learner_group"]["learner"]["training"]["anchor"]["reference"] is not None

    other = build(held_ppo(workers, learners))
    other.restore_from_path(tmp_path)
    assert_same(train(other, 2), expected)
    assert_same(state_of(other), state)

    whole.restore_from_path(tmp_path)
    assert_same(train(whole, 2), expected)
    assert_same(state_of(whole), state)
    assert next_batches(whole) == next_batches(other)
    assert whole.exact
    assert other.exact


@pytest.mark.parametrize("kind", [SACConfig, DQNConfig])
def test_learning_from_replay_goes_on_where_it_was_saved(build, tmp_path, kind):
    whole = build(off_policy(kind))
    train(whole, 3)
    whole.save_to_path(tmp_path)
    expected = train(whole, 2)
    state, held = state_of(whole), whole.replay_buffer.get_all_trajectories().batch

    other = build(off_policy(kind))
    other.restore_from_path(tmp_path)
    assert_same(train(other, 2), expected)
    assert_same(state_of(other), state)
    assert other.replay_buffer.get_all_trajectories().batch == held
    assert other.replay_buffer is other.local_replay_buffer

    # The same in place: back to a checkpoint that is older than what runs.
    whole.restore_from_path(tmp_path)
    assert_same(train(whole, 2), expected)
    assert_same(state_of(whole), state)
    assert whole.replay_buffer.get_all_trajectories().batch == held
    assert whole.exact
    assert expected[-1]["learners"]["default_policy"]["gradient_steps"] > 0


@pytest.mark.parametrize(
    "learners", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_cloning_goes_on_where_it_was_saved(build, tmp_path, learners):
    config = (
        BCConfig()
        .training(
            dataset=write_demonstrations(tmp_path / "demos"),
            minibatch_size=64,
            lr=0.01,
            lr_schedule="cosine",
            input_noise=0.1,
        )
        .learners(num_learners=learners, num_cpus_per_learner=0.2 if learners else "auto")
        .rl_module(model_config={"fcnet_hiddens": [16], "normalize_observations": True})
    )
    whole = build(config)
    train(whole, 2)
    whole.save_to_path(tmp_path / "checkpoint")
    expected = train(whole, 2)
    other = build(config.copy())
    other.restore_from_path(tmp_path / "checkpoint")
    assert_same(train(other, 2), expected)
    assert_same(state_of(other), state_of(whole))
    assert_same(other.best_weights(), whole.best_weights())


@pytest.mark.parametrize("kind", [SACConfig, DQNConfig])
@pytest.mark.parametrize(("workers", "learners"), [(2, 1), (2, 2)])
@pytest.mark.slow
def test_learning_from_replay_over_processes_goes_on_where_it_was_saved(
    build, tmp_path, kind, workers, learners
):
    def config():
        made = off_policy(kind).env_runners(num_env_runners=workers, num_envs_per_env_runner=2)
        made.learners(num_learners=learners, num_cpus_per_learner=0.2)
        return made.replay(sampler="prioritized", capacity=150, cpus_per_replay_shard=0.2)

    whole = build(config())
    train(whole, 3)
    whole.save_to_path(tmp_path)
    expected = train(whole, 2)
    other = build(config())
    other.restore_from_path(tmp_path)
    assert_same(train(other, 2), expected)
    assert_same(state_of(other), state_of(whole))


def test_moments_that_are_not_saved_are_none(build, tmp_path, caplog):
    algorithm = build(stateful_ppo(save_optimizer_state=False))
    train(algorithm, 2)
    algorithm.save_to_path(tmp_path)
    assert "optimizer" not in algorithm.get_state()["learner_group"]["learner"]
    other = build(stateful_ppo(save_optimizer_state=False))
    with caplog.at_level(logging.WARNING):
        other.restore_from_path(tmp_path)
    assert "the optimizer's state was not saved" in caplog.text
    assert algorithm.exact
    assert not other.exact
    # Once inexact, it stays so, whatever is saved from then on.
    other.save_to_path(tmp_path / "again")
    again = build(stateful_ppo())
    again.restore_from_path(tmp_path / "again")
    assert not again.exact


def test_a_checkpoint_without_replay_begins_with_an_empty_buffer(build, tmp_path, caplog):
    algorithm = build(off_policy(SACConfig).replay(replay_in_checkpoint="none"))
    train(algorithm, 2)
    steps = algorithm.pace.steps
    algorithm.save_to_path(tmp_path)
    assert not (tmp_path / "replay_buffer").exists()
    with caplog.at_level(logging.WARNING):
        algorithm.restore_from_path(tmp_path)
    assert "begins empty" in caplog.text
    assert len(algorithm.replay_buffer) == 0
    (result,) = train(algorithm, 1)
    assert result["replay"]["steps"] == 72
    # Nothing is made up for: the first round has nothing to learn from, the others have their seven.
    assert algorithm.pace.steps - steps == result["learners"]["default_policy"]["gradient_steps"] == 14


def test_saving_changes_nothing(build, tmp_path):
    saved, other = build(stateful_ppo()), build(stateful_ppo())
    train(saved, 1)
    saved.save_to_path(tmp_path)
    assert_same(train(saved, 1), train(other, 2)[1:])
    assert_same(state_of(saved), state_of(other))


def test_an_algorithm_is_made_from_a_checkpoint(build, tmp_path):
    whole = build(stateful_ppo())
    train(whole, 1)
    whole.save_to_path(tmp_path)
    other = PPO.from_checkpoint(str(tmp_path))
    assert_same(train(other, 1), train(whole, 1))
    assert_same(state_of(other), state_of(whole))
    other.stop()


def test_what_a_checkpoint_holds_has_changed_by_then(build, tmp_path):
    # So that the comparisons above are not of things that stay as they are made.
    algorithm = build(stateful_ppo())
    start = state_of(algorithm)["learner_group"]["learner"]
    train(algorithm, 2)
    state = state_of(algorithm)
    learner = state["learner_group"]["learner"]
    for key in ("kl_coeff", "entropy_coeff", "updates"):
        assert learner["training"][key] != start["training"][key]
    assert learner["training"]["reward_moments"][0] == 256
    assert learner["rl_module"]["default_policy"]["network.normalizer.count"] == 256
    assert state["progress"]["env_steps"] == 256
    assert state["progress"]["episodes"]["total"] > 0
    assert state["workers"]["workers"][0]["collector"]["env"] is not None


def test_an_environment_without_state_is_told(build, tmp_path, caplog):
    algorithm = build(stateful_ppo(env="CartPole-v1"))
    train(algorithm, 1)
    assert algorithm.exact
    algorithm.save_to_path(tmp_path)
    with caplog.at_level(logging.WARNING, logger="rayrl.algorithms.rollout_workers"):
        algorithm.restore_from_path(tmp_path)
    assert "cannot restore its state" in caplog.text
    assert not algorithm.exact
    assert algorithm.train()["env_runners"]["exact"] == 0
    assert algorithm.env_steps == 256

    # Once inexact, a run stays so in what it saves.
    algorithm.save_to_path(tmp_path / "later")
    other = build(stateful_ppo(env="CartPole-v1"))
    other.restore_from_path(tmp_path / "later")
    assert not other.exact


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_repeats_a_run_and_another_one_does_not(build, seed):
    one = build(stateful_ppo())
    other = build(stateful_ppo().debugging(seed=seed))
    train(one, 1)
    train(other, 1)
    same = next_batches(one) == next_batches(other)
    assert same == (seed == 0)
