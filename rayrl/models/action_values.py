"""The networks of Q-learning: values of all actions, whose policy is ε-greedy, and their slow copy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from rayrl.errors import SpaceError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_module import PolicyModule


def greedy(config: ModelConfig, action_space: gym.Space[Any]) -> ModelConfig:
    """The policy's options as Q-learning needs them: its outputs are values.

    Raises:
        ConfigError: the policy is to remember.
        SpaceError: the actions are not Discrete.
    """
    config = config.without_memory("DQN")
    if not isinstance(action_space, gym.spaces.Discrete):
        raise SpaceError(
            f"Q-learning has no values for actions of {action_space}",
            where="action space",
            remedy="it takes Discrete actions; SAC takes a bounded Box, PPO others too",
        )
    return config.model_copy(update={"epsilon_greedy": True, "vf_share_layers": True})


class ActionValues(PolicyModule):
    """A network of action values that acts ε-greedily, and its slow copy for the learner.

    Attributes:
        target: the slow copy; it reads what the network's normalizer gives.
    """

    target: ActorCriticNetwork

    def setup(self) -> None:
        """Builds the networks; RLlib calls this once.

        Raises:
            ConfigError: ``model_config`` is wrong or not supported.
            SpaceError: a space is not supported.
        """
        options = dict(self.model_config or {})
        dueling = options.pop("dueling", True)
        config = greedy(ModelConfig.from_rllib(options), self.action_space)
        spaces = self.observation_space, self.action_space
        self.network = ActorCriticNetwork(
            *spaces, config, inference_only=bool(self.inference_only) or not dueling
        )
        if self.inference_only:
            return
        bare = config.model_copy(update={"epsilon_greedy": False, "normalize_observations": False})
        self.target = ActorCriticNetwork(*spaces, bare, inference_only=not dueling)
        self.target.load_state_dict(dict(self.network.named_parameters()))
        self.target.requires_grad_(False)

    def get_non_inference_attributes(self) -> list[str]:
        """What rollout workers do not receive: the value, of which no choice depends, and the slow copy."""
        return ["network.value_head", "target"]
