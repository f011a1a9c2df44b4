"""DQN's options, and the algorithm itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import gymnasium as gym
from ray.rllib.algorithms.dqn import dqn
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rayrl.algorithms.dqn.learner import DQNLearner
from rayrl.algorithms.offpolicy.algorithm import OffPolicyAlgorithm
from rayrl.algorithms.offpolicy.config import OffPolicyConfig
from rayrl.algorithms.schedule import scheduled
from rayrl.models.action_values import ActionValues, greedy
from rayrl.models.model_config import ModelConfig

_NO_DISTRIBUTION = "leave it out; values are expectations, not distributions"
_NO_NOISE = "leave it out; exploration is by epsilon"


class DQNConfig(OffPolicyConfig, dqn.DQNConfig):
    """RLlib's DQNConfig, with rayrl's options and other defaults.

    Double Q-learning, a dueling network and prioritized draws are on, as in RLlib. A gradient step learns
    from 64 steps of replay (RLlib: 32), and there is one for every four environment steps
    (``gradient_steps_per_env_step`` 0.25), as in Mnih et al. (2015).
    """

    default_sampler: ClassVar[str] = "prioritized"
    honoured: ClassVar[frozenset[str]] = OffPolicyConfig.honoured | {
        "epsilon",
        "double_q",
        "dueling",
        "td_error_loss_fn",
    }
    instead: ClassVar[dict[str, str]] = OffPolicyConfig.instead | {
        "hiddens": "set fcnet_hiddens and head_fcnet_hiddens in model_config",
        "adam_epsilon": "set optimizer_options={'eps': ...}",
        "num_atoms": _NO_DISTRIBUTION,
        "v_min": _NO_DISTRIBUTION,
        "v_max": _NO_DISTRIBUTION,
        "noisy": _NO_NOISE,
        "sigma0": _NO_NOISE,
        "burn_in_len": "leave it out; policies have no state",
        "before_learn_on_batch": "override the learner's prepare",
    }

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or DQN)
        self.train_batch_size_per_learner = 64
        self.gradient_steps_per_env_step = 0.25

    def get_default_learner_class(self) -> type[DQNLearner]:
        """The columnar learner."""
        return DQNLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Values of all actions."""
        return RLModuleSpec(module_class=ActionValues)

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return super()._model_config_auto_includes | {"dueling": self.dueling}

    def random_shares(self, env_steps: int) -> Iterator[float]:
        """``epsilon`` at each vector step; all workers take one at a time."""
        width = self.num_envs_per_env_runner * max(1, self.num_env_runners)
        return (scheduled(self.epsilon, step) for step in count(env_steps, width))

    @property
    def refuses_clones(self) -> str | None:
        """A cloned policy has probabilities, of which no action values can be made."""
        return (
            "learn from the demonstrations themselves: train.replay.offline_dataset and offline_fraction; "
            "or train with ppo, or sac"
        )

    def fit_model(self, model: ModelConfig, action_space: gym.Space[Any]) -> ModelConfig:
        """The policy's outputs are values."""
        return greedy(model, action_space)


class DQN(OffPolicyAlgorithm):
    """Deep Q-learning."""

    @classmethod
    def get_default_config(cls) -> Any:
        """The default options."""
        return DQNConfig()
