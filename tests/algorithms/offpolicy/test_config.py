"""Options of SAC and DQN: those that are honoured, what the others say, and what an iteration consists of."""

import pytest
from ray.rllib.algorithms.dqn import dqn
from ray.rllib.algorithms.sac import sac

from rayrl.algorithms.dqn import DQNConfig
from rayrl.algorithms.ppo import PPOConfig
from rayrl.algorithms.registry import algorithm_config, names
from rayrl.algorithms.replay.settings import LEARN_FROM_REPLAY
from rayrl.algorithms.rllib_options import BOOKKEEPING
from rayrl.algorithms.sac import SACConfig
from rayrl.errors import ConfigError
from tests.algorithms.test_config import another

KINDS = [(SACConfig, sac.SACConfig), (DQNConfig, dqn.DQNConfig)]
OPTIONS = [(kind, name) for kind, theirs in KINDS for name in sorted(vars(theirs()))]


@pytest.mark.parametrize("kind", [SACConfig, DQNConfig])
def test_the_defaults_are_valid(kind):
    kind().environment("CartPole-v1").validate()


@pytest.mark.parametrize(("kind", "name"), OPTIONS)
def test_each_option_of_rllibs_is_honoured_or_refused(kind, name):
    if name in kind.honoured | BOOKKEEPING:
        return
    config = kind().environment("CartPole-v1")
    setattr(config, name, another(getattr(config, name)))
    with pytest.raises(ConfigError, match=name) as raised:
        config.validate()
    if name in kind.instead:
        assert raised.value.remedy == kind.instead[name]


@pytest.mark.parametrize(("kind", "theirs"), KINDS)
def test_every_name_is_known(kind, theirs):
    known = vars(theirs()).keys()
    assert kind.honoured - vars(kind()).keys() == set()
    assert kind.instead.keys() - known - vars(kind()).keys() == set()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("tau", 1.5),
        ("n_step", (1, 3)),
        ("n_step", 0),
        ("gradient_steps_per_env_step", 0),
        ("max_gradient_steps_per_round", 0),
        ("target_entropy", "high"),
        ("initial_alpha", 0.0),
        ("actor_lr", [[0, "fast"]]),
    ],
)
def test_values_are_checked(option, value):
    config = SACConfig().environment("Pendulum-v1")
    setattr(config, option, value)
    with pytest.raises(ConfigError, match=option):
        config.validate()


@pytest.mark.parametrize(
    ("envs", "workers", "fragment", "per_round", "per_iteration"),
    [
        (1, 0, "auto", 32, 1024),
        (4, 0, "auto", 32, 1024),
        (5, 2, "auto", 40, 1000),
        (64, 1, "auto", 64, 1024),
        (4, 2, 1, 8, 1000),
    ],
)
def test_rounds_and_iterations(envs, workers, fragment, per_round, per_iteration):
    config = SACConfig().env_runners(
        num_envs_per_env_runner=envs, num_env_runners=workers, rollout_fragment_length=fragment
    )
    assert (config.steps_per_round, config.steps_per_iteration) == (per_round, per_iteration)


def test_which_algorithms_learn_from_replay():
    assert {name for name in names() if algorithm_config(name).rollouts_for_replay} == LEARN_FROM_REPLAY


def test_settings_of_replay_are_checked_where_they_are_given(tmp_path):
    with pytest.raises(ConfigError, match="capacity"):
        SACConfig().replay(capacity=0)
    with pytest.raises(ConfigError, match="go together"):
        SACConfig().replay(offline_fraction=0.5)
    with pytest.raises(ConfigError, match="spool_path"):
        SACConfig().replay(durability="spool")
    with pytest.raises(ConfigError, match="spool_path = 'spool': give an absolute path"):
        SACConfig().replay(durability="spool", spool_path="spool")
    with pytest.raises(ConfigError, match="latest is of what a spool holds"):
        SACConfig().replay(replay_after_restore="latest")
    with pytest.raises(ConfigError, match="no replay buffer"):
        PPOConfig().environment("CartPole-v1").replay(capacity=5).validate()
    recording = PPOConfig().environment("CartPole-v1").replay(record=True)
    recording.replay(offline_dataset=tmp_path, offline_fraction=0.5)
    with pytest.raises(ConfigError, match="nothing is learned from"):
        recording.validate()


def test_shards_are_there_where_other_actors_are():
    assert SACConfig().num_replay_shards == 0
    assert SACConfig().env_runners(num_env_runners=1).num_replay_shards == 1
    assert SACConfig().replay(num_replay_shards=2).num_replay_shards == 2
    assert PPOConfig().env_runners(num_env_runners=1).num_replay_shards == 0


@pytest.mark.parametrize(
    ("name", "why"), [("on_policiness", "needs scores, which training does not"), ("unifrom", "is not known")]
)
def test_samplers_that_training_has_not_are_refused_with_those_that_it_has(name, why):
    config = SACConfig().environment("Pendulum-v1").replay(sampler=name)
    with pytest.raises(ConfigError, match=f"sampler '{name}' {why}") as raised:
        config.validate()
    assert "balanced, high_reward, prioritized, recent, uniform; " in raised.value.remedy


def test_a_sampler_that_the_environments_module_registers_is_known():
    config = SACConfig().environment("tests.algorithms.offpolicy.sampling_env:Pendulum")
    config.replay(sampler="newest_half").validate()


def test_less_than_a_minibatch_is_not_kept():
    config = SACConfig().environment("Pendulum-v1").replay(capacity=255)
    with pytest.raises(ConfigError, match="capacity = 255: a minibatch has 256 steps"):
        config.validate()
    config.replay(capacity=256).validate()
    PPOConfig().environment("CartPole-v1").replay(record=True, capacity=1).validate()
