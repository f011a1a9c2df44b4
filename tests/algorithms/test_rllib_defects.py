"""What RLlib 2.60 gets wrong, and rayrl right; the numbers are those of the project's notes on RLlib."""

import numpy as np
import pytest
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rayrl.algorithms.bc import BC, BCConfig
from rayrl.algorithms.ppo import PPOConfig
from rayrl.algorithms.sac import SACConfig
from rayrl.errors import ConfigError, PolicyError
from rayrl.models.actor_critic import ActorCritic
from tests.algorithms.algorithms import metrics_of, off_policy, stateful_ppo
from tests.algorithms.bc.demonstrations import ACTIONS, OBSERVATION, write_demonstrations
from tests.algorithms.learners import assert_same

pytestmark = pytest.mark.usefixtures("ray_cluster")
MODULE = "learner_group/learner/rl_module"


@pytest.fixture
def trained(build, tmp_path):
    """A trained PPO and its checkpoint."""
    algorithm = build(stateful_ppo(kl_coeff=7.0))
    algorithm.train()
    algorithm.save_to_path(tmp_path / "trained")
    return algorithm, tmp_path / "trained"


def weights_of(algorithm):
    return algorithm.learner_group.get_state("learner/rl_module")["learner"]["rl_module"]["default_policy"]


def test_d1_the_replay_buffer_comes_back(build, tmp_path):
    algorithm = build(off_policy(SACConfig))
    algorithm.train()
    algorithm.save_to_path(tmp_path / "checkpoint")
    other = build(off_policy(SACConfig))
    other.restore_from_path(tmp_path / "checkpoint")
    held = [a.local_replay_buffer.get_all_trajectories().batch for a in (algorithm, other)]
    assert held[0] == held[1]
    assert held[0].num_steps == 72


def test_d2_the_temperature_comes_back(build, tmp_path):
    algorithm = build(off_policy(SACConfig, alpha_lr=0.1))
    algorithm.train()
    algorithm.train()
    algorithm.save_to_path(tmp_path / "checkpoint")
    other = build(off_policy(SACConfig, alpha_lr=0.1))
    other.restore_from_path(tmp_path / "checkpoint")
    learners = [a.learner_group._learner for a in (algorithm, other)]
    temperatures = [learner.curr_log_alpha["default_policy"].item() for learner in learners]
    assert temperatures[0] == temperatures[1] != 0.0


def test_d16_any_buffer_setting_reaches_the_buffer(build):
    algorithm = build(off_policy(SACConfig).replay(capacity=90, sampler="recent"))
    algorithm.train()
    algorithm.train()
    assert len(algorithm.replay_buffer) == 90
    with pytest.raises(ConfigError, match="replay_buffer_config"):
        SACConfig().training(replay_buffer_config={"capacity": 5}).validate()


def test_d3_the_adapted_kl_coefficient_comes_back(build, trained):
    algorithm, path = trained
    other = build(stateful_ppo(kl_coeff=7.0))
    other.restore_from_path(path)
    coefficients = [a.learner_group._learner.get_training_state()["kl_coeff"] for a in (algorithm, other)]
    assert coefficients[0] == coefficients[1] != 7.0


def test_d4_behaviour_cloning_can_be_restored(build, tmp_path):
    dataset = write_demonstrations(tmp_path / "demos")
    config = (
        BCConfig().training(dataset=dataset, minibatch_size=64).rl_module(model_config={"fcnet_hiddens": [8]})
    )
    algorithm = build(config)
    algorithm.train()
    algorithm.save_to_path(tmp_path / "checkpoint")
    expected = metrics_of(algorithm.train())

    restored, made = build(config), BC.from_checkpoint(str(tmp_path / "checkpoint"))
    restored.restore_from_path(tmp_path / "checkpoint")
    assert_same(metrics_of(restored.train()), expected)
    assert_same(metrics_of(made.train()), expected)
    made.stop()


@pytest.mark.parametrize("folder", [MODULE, f"{MODULE}/default_policy"])
def test_d5_a_module_is_loaded_from_either_path_or_not_at_all(build, trained, folder):
    algorithm, path = trained
    config = stateful_ppo().rl_module(
        rl_module_spec=RLModuleSpec(
            module_class=ActorCritic,
            model_config={"fcnet_hiddens": [16, 16], "normalize_observations": True},
            load_state_path=str(path / folder),
        )
    )
    if folder == MODULE:  # which is where several modules are, not one
        with pytest.raises(PolicyError, match="do not fit"):
            build(config)
        return
    assert_same(weights_of(build(config)), weights_of(algorithm))


@pytest.mark.parametrize("component", [MODULE, f"{MODULE}/default_policy"])
def test_d5_a_component_of_a_checkpoint_reaches_learner_and_workers(build, trained, component):
    algorithm, path = trained
    other = build(stateful_ppo(kl_coeff=7.0))
    other.restore_from_path(path / component, component=component)
    assert_same(weights_of(other), weights_of(algorithm))
    acting = other.env_runner.module.get_state()
    assert_same(acting, {name: weights_of(algorithm)[name] for name in acting})


def test_d6_cloned_weights_are_all_of_ppos(build, tmp_path):
    dataset = write_demonstrations(tmp_path / "demos")
    cloned = build(BCConfig().training(dataset=dataset).rl_module(model_config={"fcnet_hiddens": [8]}))
    cloned.train()
    cloned.save_to_path(tmp_path / "cloned")

    def learner(hidden):
        config = PPOConfig().rl_module(model_config={"fcnet_hiddens": [hidden]})
        made = config.build_learner(spaces={"default_policy": (OBSERVATION, ACTIONS["discrete"])})
        made.build()
        return made

    ppo = learner(8)
    before = ppo.policy.get_state()
    ppo.restore_from_path(tmp_path / "cloned/learner_group/learner/rl_module", component="rl_module")
    after = ppo.policy.get_state()
    assert_same(after, weights_of(cloned))
    assert any(not np.array_equal(before[name], after[name]) for name in before)

    other = learner(9)
    before = other.policy.get_state()
    with pytest.raises(PolicyError, match="do not fit"):
        other.restore_from_path(tmp_path / "cloned/learner_group/learner/rl_module", component="rl_module")
    assert_same(other.policy.get_state(), before)


def test_d7_workers_go_back_to_older_weights_at_once(trained):
    algorithm, path = trained
    old = algorithm.env_runner.module.get_state()
    algorithm.train()
    assert any(
        not np.array_equal(old[name], new) for name, new in algorithm.env_runner.module.get_state().items()
    )
    algorithm.restore_from_path(path)
    assert_same(algorithm.env_runner.module.get_state(), old)
    assert_same({name: weights_of(algorithm)[name] for name in old}, old)
