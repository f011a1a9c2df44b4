"""Sampling and learning in lockstep, here and with remote workers; what replay holds."""

import gymnasium as gym
import numpy as np
import psutil
import pytest

from rayrl.algorithms.dqn import DQNConfig
from rayrl.algorithms.ppo import PPOConfig
from rayrl.algorithms.sac import SACConfig
from rayrl.errors import ConfigError, ResourceError, RunError
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.replay import ReplayBuffer
from rayrl.storage.spaces import Spaces
from tests.algorithms.algorithms import metrics_of, off_policy, state_of
from tests.algorithms.learners import assert_same
from tests.algorithms.offpolicy.demonstrations import sevens

pytestmark = pytest.mark.usefixtures("ray_cluster")


def pendulum(kind=SACConfig):
    return (
        kind()
        .environment("Pendulum-v1")
        .env_runners(num_envs_per_env_runner=2)
        .rl_module(model_config={"fcnet_hiddens": [8]})
    )


def test_iterations_are_whole_rounds_and_learning_begins_when_told(build):
    algorithm = build(off_policy(SACConfig, gradient_steps_per_env_step=1.0))
    assert (algorithm.config.steps_per_round, algorithm.config.steps_per_iteration) == (24, 72)
    first, second = algorithm.train(), algorithm.train()
    # After 0 and 24 steps it is too early; after 48, the eight beyond 40 count.
    assert first["learners"]["default_policy"]["gradient_steps"] == 8
    assert second["learners"]["default_policy"]["gradient_steps"] == 72
    assert second["num_env_steps_sampled_lifetime"] == 144
    assert second["learners"]["default_policy"]["num_module_steps_trained_lifetime"] == 80 * 16
    assert second["replay"]["fill"] == 144 / 150


def test_exploration_follows_its_schedule_also_in_rounds_without_gradient_steps(build):
    config = off_policy(DQNConfig, epsilon=[[0, 1.0], [1000, 0.0]])
    algorithm = build(config.training(gradient_steps_per_env_step=0.001))
    assert "learners" not in algorithm.train()
    # 72 steps of three sub-environments: the last of them were taken after 69.
    assert algorithm.env_runner.module.network.epsilon.item() == pytest.approx(1 - 0.069)


def test_the_first_actions_are_uniform_whatever_the_policy(build):
    config = pendulum().training(num_steps_sampled_before_learning_starts=2000)
    algorithm = build(config.reporting(min_sample_timesteps_per_iteration=2000))
    algorithm.train()
    actions = algorithm.replay_buffer.get_all_trajectories().actions.numpy()
    counts, _ = np.histogram(actions, bins=8, range=(-2, 2))
    assert (np.abs(counts - 252) < 60).all()  # 2016 actions, four standard deviations


def test_replay_holds_the_environments_actions_and_nothing_of_the_policy(build):
    config = pendulum().training(num_steps_sampled_before_learning_starts=0)
    algorithm = build(config.reporting(min_sample_timesteps_per_iteration=200))
    algorithm.train()
    batch = algorithm.replay_buffer.get_all_trajectories().batch
    assert set(batch.columns) == {"obs", "actions", "rewards"}
    assert 1 < np.abs(batch.columns["actions"]).max() <= 2


@pytest.mark.slow
def test_remote_workers_act_while_learners_learn_and_the_run_repeats(build):
    config = off_policy(SACConfig).env_runners(num_env_runners=2)
    one, other = build(config.copy()), build(config.copy())
    told = [[metrics_of(algorithm.train()) for _ in range(3)] for algorithm in (one, other)]
    assert_same(told[0], told[1])
    assert_same(state_of(one), state_of(other))
    assert told[0][-1]["learners"]["default_policy"]["gradient_steps"] > 0
    producers = one.replay_buffer.get_all_trajectories().batch.trajectory_columns["producer"]
    assert set(producers.tolist()) == {1, 2}


def test_any_algorithm_records_its_rollouts_with_the_environments_actions(build):
    algorithm = build(
        pendulum(PPOConfig)
        .training(train_batch_size_per_learner=64, minibatch_size=32, num_epochs=1)
        .replay(record=True, capacity=100)
    )
    algorithm.train()
    result = algorithm.train()
    assert result["replay"]["steps"] == 100
    batch = algorithm.replay_buffer.get_all_trajectories().batch
    assert set(batch.columns) == {"obs", "actions", "rewards"}
    assert np.abs(batch.columns["actions"]).max() > 1


@pytest.fixture
def demonstrations(tmp_path):
    """Steps whose reward is 7, as a dataset and as a saved buffer."""
    env = gym.make("CartPole-v1")
    spaces = Spaces(env.observation_space, env.action_space)
    with DatasetWriter(tmp_path / "demos", spaces=spaces, env=EnvInfo(id="CartPole-v1")) as writer:
        writer.append(sevens(4, 10))
        writer.finish()
    buffer = ReplayBuffer(spaces, EnvInfo(id="CartPole-v1"))
    buffer.add(sevens(4, 10))
    buffer.save(tmp_path / "saved")
    return tmp_path


@pytest.mark.parametrize("folder", ["demos", "saved"])
@pytest.mark.parametrize("kind", [SACConfig, DQNConfig])
def test_a_share_of_each_minibatch_is_offline(build, demonstrations, folder, kind):
    config = off_policy(kind).replay(offline_dataset=demonstrations / folder, offline_fraction=0.25)
    algorithm = build(config)
    algorithm.train()
    sample = algorithm.replay.draw(np.arange(3), algorithm._draws).fetch()
    rewards = sample.columns["rewards"].reshape(3, 16)
    # Returns of three steps, of seven or of one each.
    assert ((rewards >= 6).sum(1) == 4).all()
    result = algorithm.train()
    assert result["replay"]["steps_of/offline"] == 40
    assert result["learners"]["default_policy"]["gradient_steps"] > 0


@pytest.mark.parametrize("fraction", [0.03, 0.97])
def test_a_share_that_leaves_steps_of_one_kind_alone_is_refused(demonstrations, fraction):
    config = off_policy(SACConfig).replay(offline_dataset=demonstrations / "demos", offline_fraction=fraction)
    with pytest.raises(
        ConfigError, match=f"offline_fraction = {fraction}: of a minibatch of 16 steps that is"
    ):
        config.validate()


def test_offline_experience_of_other_spaces_is_refused(build, demonstrations):
    config = pendulum().replay(offline_dataset=demonstrations / "demos", offline_fraction=0.5)
    with pytest.raises(ConfigError, match="other spaces"):
        config.build_algo()


@pytest.mark.parametrize("folder", ["demos", "saved"])
def test_more_offline_experience_than_memory_is_refused(monkeypatch, demonstrations, folder):
    few = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: few)
    config = off_policy(SACConfig).replay(offline_dataset=demonstrations / folder, offline_fraction=0.25)
    with pytest.raises(ResourceError, match=f"{folder}: offline_dataset takes .* GB of memory"):
        config.build_algo()


def sharded(shards, **replay):
    """SAC with a remote worker, two remote learners and shards."""
    config = off_policy(SACConfig).env_runners(num_env_runners=1)
    config.learners(num_learners=2, num_cpus_per_learner=0.2)
    return config.replay(num_replay_shards=shards, cpus_per_replay_shard=0.2, **replay)


def test_shards_are_learned_from_and_resumed_exactly(build, tmp_path):
    whole = build(sharded(2))
    for _ in range(2):
        whole.train()
    whole.save_to_path(tmp_path)
    expected = metrics_of(whole.train())
    other = build(sharded(2))
    other.restore_from_path(tmp_path)
    assert_same(metrics_of(other.train()), expected)
    assert_same(state_of(other), state_of(whole))
    assert other.exact
    assert expected["learners"]["default_policy"]["gradient_steps"] > 0
    assert expected["replay"]["lost_shards"] == 0
    assert other.replay_buffer is other.local_replay_buffer
    saved = ReplayBuffer.load(other.replay_buffer.save(tmp_path / "saved"))
    assert len(saved) == 150
    assert saved.options.partitions["online"].capacity == 150


def test_a_trial_asks_for_its_shards():
    config = sharded(3)
    bundles = config.algo_class.default_resource_request(config).bundles
    assert [bundle["CPU"] for bundle in bundles[-3:]] == [0.2] * 3
    assert len(bundles) == 1 + 1 + 2 + 3


def test_a_spool_has_the_offline_experience_once(build, demonstrations):
    spool = {"durability": "spool", "spool_path": str(demonstrations / "spool")}
    offline = {"offline_dataset": demonstrations / "demos", "offline_fraction": 0.25}
    shards = {"num_replay_shards": 2, "cpus_per_replay_shard": 0.2}
    config = off_policy(SACConfig).replay(**spool, **offline, **shards, replay_after_restore="latest")
    first = build(config.copy())
    first.train()
    first.save_to_path(demonstrations / "checkpoint")
    assert first.train()["replay"]["steps_of/offline"] == 40
    first.stop()
    again = build(config.copy())
    again.restore_from_path(demonstrations / "checkpoint")
    assert again.replay.metrics()["steps_of/offline"] == 40
    assert "newer than checkpoint, which stayed" in again.warnings[0]
    assert not again.exact
    again.stop()
    spaces = again.replay_buffer.spaces
    with DatasetWriter(demonstrations / "more", spaces=spaces, env=EnvInfo(id="CartPole-v1")) as writer:
        writer.append(sevens(5, 10))
        writer.finish()
    config.replay(offline_dataset=demonstrations / "more")
    with pytest.raises(RunError, match="the spool holds 40 offline steps, and offline_dataset has 50"):
        config.build_algo()
