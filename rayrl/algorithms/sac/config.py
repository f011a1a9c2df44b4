"""SAC's options, and the algorithm itself."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import gymnasium as gym
from ray.rllib.algorithms.sac import sac
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rayrl.algorithms.offpolicy.algorithm import OffPolicyAlgorithm
from rayrl.algorithms.offpolicy.config import OffPolicyConfig
from rayrl.algorithms.sac.learner import SACLearner
from rayrl.models.model_config import ModelConfig
from rayrl.models.soft_actor_critic import SoftActorCritic, squashed

# RLlib would advise, at every validation, to leave its new API stack, which is what all this is built on.
logging.getLogger(sac.__name__).addFilter(lambda record: "new API stack" not in record.getMessage())


class SACConfig(OffPolicyConfig, sac.SACConfig):
    """RLlib's SACConfig, with rayrl's options and other defaults.

    The defaults are those of Haarnoja et al. (2018, arXiv:1812.05905) where RLlib has others: one gradient
    step for each environment step (``gradient_steps_per_env_step`` 1), ``actor_lr`` 3e-4, uniform draws, and
    ``num_steps_sampled_before_learning_starts`` 1000. The critics have the policy's sizes, with ReLU;
    ``q_model_config`` changes that.
    """

    honoured: ClassVar[frozenset[str]] = OffPolicyConfig.honoured - {"lr"} | {
        "twin_q",
        "q_model_config",
        "initial_alpha",
        "target_entropy",
        "actor_lr",
        "critic_lr",
        "alpha_lr",
    }
    instead: ClassVar[dict[str, str]] = OffPolicyConfig.instead | {
        "lr": "set actor_lr, critic_lr and alpha_lr",
        "policy_model_config": "set rl_module(model_config=...)",
        "optimization": "set actor_lr, critic_lr and alpha_lr",
    }

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SAC)
        self.actor_lr = 3e-4
        self.num_steps_sampled_before_learning_starts = 1000
        self.q_model_config = {"fcnet_activation": "relu"}

    def get_default_learner_class(self) -> type[SACLearner]:
        """The columnar learner."""
        return SACLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """A policy with critics."""
        return RLModuleSpec(module_class=SoftActorCritic)

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        critics = {"twin_q": self.twin_q, "q_model_config": self.q_model_config}
        return super()._model_config_auto_includes | critics

    def fit_model(self, model: ModelConfig, action_space: gym.Space[Any]) -> ModelConfig:
        """Box actions are bounded by tanh."""
        return squashed(model, action_space)


class SAC(OffPolicyAlgorithm):
    """Soft actor-critic."""

    @classmethod
    def get_default_config(cls) -> Any:
        """The default options."""
        return SACConfig()
