"""The networks of soft actor-critic: a policy, critics and the critics' slow copies."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from rayrl.errors import SpaceError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.critics import Critics
from rayrl.models.distributions import Categorical, SquashedGaussian
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_module import PolicyModule


def squashed(config: ModelConfig, action_space: gym.Space[Any]) -> ModelConfig:
    """The policy's options as soft actor-critic needs them: Box actions are bounded by tanh.

    Raises:
        ConfigError: the policy is to remember, or to read modalities.
        SpaceError: the actions are of neither a Box nor a Discrete space.
    """
    config = config.without_memory("SAC").without_modalities("SAC")
    if isinstance(action_space, gym.spaces.Box):
        return config.model_copy(update={"squash_actions": True})
    if isinstance(action_space, gym.spaces.Discrete):
        return config
    raise SpaceError(
        f"soft actor-critic has no policy for {action_space}",
        where="action space",
        remedy="it takes a bounded Box, or Discrete; PPO takes others too",
    )


class SoftActorCritic(PolicyModule):
    """A policy without a value, and beside it what only the learner needs.

    Its ``model_config`` has two more keys than ``ModelConfig``: ``twin_q``, whether there are two critics,
    and ``q_model_config``, options of the critics in place of the policy's.

    Attributes:
        critics: values (C, B, 1) of Box actions, or (C, B, n) of all Discrete ones.
        target_critics: their slow copies.
    """

    critics: Critics
    target_critics: Critics

    def setup(self) -> None:
        """Builds the networks; RLlib calls this once.

        Raises:
            ConfigError: ``model_config`` is wrong or not supported.
            SpaceError: a space is not supported.
        """
        options = dict(self.model_config or {})
        twin, replaced = options.pop("twin_q", True), options.pop("q_model_config", {})
        config = squashed(ModelConfig.from_rllib(options), self.action_space)
        self.network = ActorCriticNetwork(
            self.observation_space, self.action_space, config, inference_only=True
        )
        if self.inference_only:
            return
        distribution = self.network.distribution
        sizes: dict[str, int] = {}
        if isinstance(distribution, SquashedGaussian):
            sizes = {"actions": distribution.noise_size, "outputs": 1}
        else:
            assert isinstance(distribution, Categorical)
            sizes = {"actions": 0, "outputs": distribution.input_size}
        critic_config = ModelConfig.from_rllib({**options, **replaced})
        critic_config = critic_config.without_memory("SAC").without_modalities("SAC")
        layout = self.network.layout
        self.critics = Critics(layout, critic_config, **sizes, count=2 if twin else 1)
        self.target_critics = Critics(layout, critic_config, **sizes, count=2 if twin else 1)
        self.target_critics.load_state_dict(self.critics.state_dict())
        self.target_critics.requires_grad_(False)

    def get_non_inference_attributes(self) -> list[str]:
        """What rollout workers do not receive: the critics."""
        return ["critics", "target_critics"]
