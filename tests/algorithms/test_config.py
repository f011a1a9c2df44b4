"""RLlib's options: those that are honoured, and that no other one is ignored."""

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.algorithms import ppo
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from rayrl.algorithms.bc import BCConfig
from rayrl.algorithms.ppo import PPOConfig
from rayrl.algorithms.rllib_options import BOOKKEEPING, COMMON, ROLLOUT, UNSUPPORTED, WORKER_CALLBACKS
from rayrl.errors import ConfigError

KNOWN_TO_RLLIB = vars(ppo.PPOConfig()).keys()


def another(value):
    """A value that differs from an option's default, of its own kind where that matters."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, dict):
        return {**value, "another": 1}
    return "another"


def cartpole():
    return PPOConfig().environment("CartPole-v1")


def test_the_defaults_are_valid():
    cartpole().validate()


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_each_unsupported_option_raises(name):
    assert name in KNOWN_TO_RLLIB, "RLlib has no such option any more"
    config = cartpole()
    setattr(config, name, another(getattr(config, name)))
    with pytest.raises(ConfigError, match=name) as raised:
        config.validate()
    assert raised.value.remedy == UNSUPPORTED[name]


OTHERS = KNOWN_TO_RLLIB - PPOConfig.honoured - UNSUPPORTED.keys() - BOOKKEEPING


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_every_other_option_of_rllibs_raises_too(name):
    # A new Ray's options are among these, and raise until someone honours them.
    config = cartpole()
    setattr(config, name, another(getattr(config, name)))
    with pytest.raises(ConfigError, match=name):
        config.validate()


def test_no_honoured_option_has_left_rllib():
    own = vars(PPOConfig()).keys() - KNOWN_TO_RLLIB
    assert (COMMON | ROLLOUT | PPOConfig.honoured) - own - KNOWN_TO_RLLIB == set()


def test_a_subclass_with_other_defaults_is_held_to_rayrls():
    class Mine(PPOConfig):
        def __init__(self):
            super().__init__()
            self.lr = 1.0
            self.batch_mode = "complete_episodes"

    with pytest.raises(ConfigError, match="batch_mode"):
        Mine().environment("CartPole-v1").validate()


@pytest.mark.parametrize("name", WORKER_CALLBACKS)
def test_callbacks_of_workers_raise(name):
    callback = type("Mine", (RLlibCallback,), {name: lambda self, **kwargs: None})
    with pytest.raises(ConfigError, match=f"Mine.{name}"):
        cartpole().callbacks(callback).validate()


def test_callbacks_of_the_algorithm_do_not():
    callback = type("Mine", (RLlibCallback,), {"on_train_result": lambda self, **kwargs: None})
    cartpole().callbacks(callback).validate()


def test_multi_agent_training_raises():
    config = cartpole().multi_agent(policies={"a", "b"}, policy_mapping_fn=lambda *_, **__: "a")
    with pytest.raises(ConfigError, match="multi-agent"):
        config.validate()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "precision = 'fp8'"),
        ({"optimizer_type": "sgd"}, "optimizer_type = 'sgd'"),
        ({"optimizer_options": {"beta": 1}}, r"optimizer_options = \{'beta': 1\}\n.*betas"),
        ({"optimizer_options": {"betas": [0.9, 1.0]}}, "optimizer_options"),
        ({"lr": -1}, "lr = -1\n  give a number, at least 0"),
        ({"lr": "fast"}, "lr = 'fast'"),
        ({"lr": [[0, 0.1], [9, -0.1]]}, "lr = "),
        ({"gamma": 1.5}, r"gamma = 1.5\n  give a number in \[0, 1\]"),
        ({"num_epochs": 0}, "num_epochs = 0"),
        ({"minibatch_size": 2.5}, "minibatch_size = 2.5"),
        ({"train_batch_size_per_learner": -64}, "train_batch_size_per_learner = -64"),
        ({"use_kl_loss": "yes"}, "use_kl_loss = 'yes'\n  give true or false"),
        ({"grad_clip": float("nan")}, "grad_clip = nan"),
        ({"grad_clip_by": "norm"}, "grad_clip_by = 'norm'"),
        ({"learner_timeout_s": 0}, "learner_timeout_s = 0"),
        ({"learner_class": TorchLearner}, "learner_class.*\n.*ColumnarLearner"),
    ],
)
def test_wrong_training_options_raise(options, message):
    with pytest.raises(ConfigError, match=message):
        cartpole().training(**options).validate() if "learner_class" not in options else cartpole().learners(
            **options
        ).validate()


def test_a_rollout_of_no_length_raises_where_rllib_would_look_for_one_for_ever():
    config = cartpole()
    config.rollout_fragment_length = -3
    with pytest.raises(ConfigError, match="rollout_fragment_length = -3"):
        config.validate()


def test_numbers_of_numpys_are_numbers():
    cartpole().training(lr=np.float64(1e-3), num_epochs=np.int64(2), gamma=np.float64(0.9)).validate()


@pytest.mark.parametrize("seed", [None, -1, 1.5])
def test_a_seed_is_needed(seed):
    with pytest.raises(ConfigError, match="seed"):
        cartpole().debugging(seed=seed).validate()


def test_env_runners_of_rllib_raise():
    with pytest.raises(ConfigError, match="ColumnarEnvRunner"):
        cartpole().env_runners(env_runner_cls=SingleAgentEnvRunner).validate()


def test_other_modules_raise():
    with pytest.raises(ConfigError, match="ActorCritic"):
        cartpole().rl_module(rl_module_spec=RLModuleSpec(module_class=TorchRLModule)).validate()


def build_learner(config):
    learner = config.build_learner(env=gym.make("CartPole-v1"))
    learner.build()
    return learner


def test_rllibs_model_config_is_honoured():
    learner = build_learner(cartpole().rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[7, 5])))
    assert [layer.out_features for layer in learner.policy.network.encoder.mlp.linears] == [7, 5]


def test_the_default_networks_are_256_256_and_separate():
    network = build_learner(cartpole()).policy.network
    assert [layer.out_features for layer in network.encoder.mlp.linears] == [256, 256]
    assert network.value_encoder is not network.encoder


@pytest.mark.parametrize("key", ["use_lstm", "fcnet_hidden"])
def test_model_config_keys_without_meaning_raise(key):
    with pytest.raises(ConfigError, match=key):
        build_learner(cartpole().rl_module(model_config={key: True}))


def test_options_survive_rllibs_dict():
    # Tune passes a config on as a dict.
    config = cartpole().training(precision="bf16", optimizer_options={"eps": 1e-5}, lr=[[0, 1.0], [9, 0.5]])
    again = PPOConfig().update_from_dict(config.to_dict())
    again.validate()
    assert (again.precision, again.optimizer_options, again.lr) == (
        "bf16",
        {"eps": 1e-5},
        [[0, 1.0], [9, 0.5]],
    )


class TestBehaviourCloning:
    def test_a_dataset_is_needed(self):
        with pytest.raises(ConfigError, match="dataset is not given"):
            BCConfig().validate()

    def test_options_of_rollouts_raise(self, tmp_path):
        assert {"num_env_runners", "gamma", "num_epochs"} <= AlgorithmConfig().__dict__.keys()
        assert not BCConfig.honoured & {"num_env_runners", "gamma", "num_epochs", "normalize_rewards"}
