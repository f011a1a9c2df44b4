"""The actor-critic as an RLModule: one class for behaviour cloning, PPO and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rayrl.models.actor_critic_network import ActorCriticNetwork, Parts
from rayrl.models.model_config import ModelConfig
from rayrl.models.observations import to_parts
from rayrl.models.policy_module import PolicyModule
from rayrl.models.sequences import Sequences


def module_spec(config: ModelConfig) -> RLModuleSpec:
    """The spec with which RLlib builds the module of a configuration; RLlib fills in the spaces."""
    return RLModuleSpec(module_class=ActorCritic, model_config=config.model_dump())


class ActorCritic(PolicyModule, ValueFunctionAPI):
    """Policy and value; RLlib's ``model_config`` keys are honoured (see ``ModelConfig``)."""

    def setup(self) -> None:
        """Builds the networks; RLlib calls this once.

        Raises:
            ConfigError: ``model_config`` is wrong or not supported.
            SpaceError: a space is not supported.
        """
        self.network = ActorCriticNetwork(
            self.observation_space,
            self.action_space,
            ModelConfig.from_rllib(self.model_config or {}),
            inference_only=bool(self.inference_only),
        )

    def value(self, parts: Parts, sequences: Sequences | None = None) -> torch.Tensor:
        """Values (B,) of observation parts (B, ...)."""
        return self.network.value(parts, sequences)

    def policy_and_value(
        self, parts: Parts, sequences: Sequences | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both (B, D) and (B,), reading the observation once."""
        return self.network.policy_and_value(parts, sequences)

    def compute_values(
        self, batch: Mapping[str, Any], embeddings: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Values (B,) of RLlib's batch, or of the ``embeddings`` that ``forward_train`` gave for it."""
        if embeddings is not None:
            return self.network.value_of(embeddings)
        return self.network.value(to_parts(batch[Columns.OBS]))

    def _forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, torch.Tensor]:
        inputs, features = self.network.policy_and_value_features(to_parts(batch[Columns.OBS]))
        return {Columns.ACTION_DIST_INPUTS: inputs, Columns.EMBEDDINGS: features}

    def get_non_inference_attributes(self) -> list[str]:
        """What rollout workers do not receive: the value's networks."""
        return ["network.value_encoder", "network.value_head"]
