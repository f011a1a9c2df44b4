"""RLlib's own usage, and what an iteration does and reports."""

import math

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.callbacks.callbacks import RLlibCallback

from rayrl.algorithms.ppo import PPO, PPOConfig
from rayrl.errors import ConfigError, EnvError
from tests.algorithms.algorithms import stateful_ppo
from tests.algorithms.learners import FirstRatios

pytestmark = pytest.mark.usefixtures("ray_cluster")


def small(config):
    return config.training(
        train_batch_size_per_learner=64, minibatch_size=32, num_epochs=1, grad_clip=None
    ).rl_module(model_config={"fcnet_hiddens": [8]})


def test_an_iteration_reports_by_rllibs_names(build):
    algorithm = build(small(PPOConfig().environment("CartPole-v1").env_runners(num_envs_per_env_runner=4)))
    for i in range(1, 4):
        result = algorithm.train()
        assert result["training_iteration"] == i
        assert result["num_env_steps_sampled_lifetime"] == algorithm.env_steps == 64 * i
    runners, learner = result["env_runners"], result["learners"]["default_policy"]
    assert runners["num_env_steps_sampled"] == 64
    assert runners["num_episodes_lifetime"] > 0
    assert runners["episode_len_min"] <= runners["episode_len_mean"] <= runners["episode_len_max"]
    assert runners["episode_return_mean"] == pytest.approx(runners["episode_len_mean"])  # 1 for each step
    assert runners["env_failures"] == 0
    assert learner["num_module_steps_trained_lifetime"] == 192
    assert learner["gradient_steps"] == 2
    assert learner["weights_seq_no"] == 3
    assert {"policy_loss", "vf_loss", "entropy", "mean_kl_loss", "curr_kl_coeff"} <= learner.keys()
    assert all(math.isfinite(value) for value in learner.values())


def test_ratios_start_at_1_with_a_normalizer_that_moves(build):
    config = stateful_ppo(lr=0.01).env_runners(num_envs_per_env_runner=4).learners(learner_class=FirstRatios)
    algorithm = build(config)
    for _ in range(5):
        algorithm.train()
    ratios = np.array(algorithm.learner_group._learner.first_ratios)
    assert len(ratios) == 5 * 32
    assert np.abs(ratios - 1).max() < 1e-5


def test_the_environment_may_be_a_class(build):
    class Bandit(gym.Env):
        observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def __init__(self, context):
            self.worker = context.worker_index

        def reset(self, *, seed=None, options=None):
            return np.zeros(1, np.float32), {}

        def step(self, action):
            return np.zeros(1, np.float32), float(action), True, False, {"is_success": action == 1}

    algorithm = build(small(PPOConfig().environment(Bandit)).training(lr=0.05))
    rates = [algorithm.train()["env_runners"]["success_rate"] for _ in range(8)]
    assert rates[-1] > 0.9


def test_an_unknown_environment_is_named():
    with pytest.raises(EnvError, match="CartPoel-v1"):
        small(PPOConfig().environment("CartPoel-v1")).build_algo()


def test_an_option_without_effect_stops_the_build():
    with pytest.raises(ConfigError, match="batch_mode"):
        PPOConfig().environment("CartPole-v1").env_runners(batch_mode="complete_episodes").build_algo()


def test_callbacks_of_the_algorithm_are_called(build, tmp_path):
    class Noting(RLlibCallback):
        def on_train_result(self, *, algorithm, result, **kwargs):
            result["noted"] = algorithm.env_steps

    algorithm = build(small(PPOConfig().environment("CartPole-v1")).callbacks(Noting))
    assert algorithm.train()["noted"] == 64


def test_the_module_of_the_algorithm_is_the_learners(build):
    algorithm = build(small(PPOConfig().environment("CartPole-v1")))
    algorithm.train()
    module = algorithm.learner_module()
    learner = algorithm.learner_group._learner.policy
    for name, weights in module.state_dict().items():
        assert (weights.numpy() == learner.state_dict()[name].numpy()).all(), name
    acting = algorithm.get_module()
    assert (
        acting.network.policy_head.linears[0].weight == learner.network.policy_head.linears[0].weight
    ).all()
    assert not hasattr(acting.network, "value_head")


def test_the_algorithm_is_named_as_rllibs():
    assert PPOConfig().algo_class is PPO
    assert PPO.get_default_config().lr == 3e-4
