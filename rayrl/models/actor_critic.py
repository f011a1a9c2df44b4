"""The actor-critic as an RLModule: one class for behaviour cloning, PPO and evaluation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule

from rayrl.models.actor_critic_network import ActorCriticNetwork, Parts
from rayrl.models.distributions import ActionDistribution
from rayrl.models.model_config import ModelConfig
from rayrl.models.normalizer import Normalizer
from rayrl.models.observations import to_parts
from rayrl.models.rllib_distribution import RLlibDistribution, rllib_distribution
from rayrl.models.weights import load_weights


def module_spec(config: ModelConfig) -> RLModuleSpec:
    """The spec with which RLlib builds the module of a configuration; RLlib fills in the spaces."""
    return RLModuleSpec(module_class=ActorCritic, model_config=config.model_dump())


class ActorCritic(TorchRLModule, InferenceOnlyAPI, ValueFunctionAPI):
    """``ActorCriticNetwork`` behind RLlib's API.

    RLlib's ``model_config`` keys are honoured (see ``ModelConfig``); those that are not are errors. Where
    RLlib loads a state leniently, this module is strict: ``set_state`` wants every key of the module and,
    except for what an inference-only module leaves out, no other.

    Attributes:
        network: the networks themselves. Hot loops call its ``policy`` and ``policy_and_value``.
    """

    network: ActorCriticNetwork

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

    @property
    def distribution(self) -> ActionDistribution:
        """The action distribution whose inputs ``policy`` gives."""
        return self.network.distribution

    @property
    def normalizer(self) -> Normalizer:
        """Running moments of the observations."""
        return self.network.normalizer

    def policy(self, parts: Parts) -> torch.Tensor:
        """Inputs (B, D) of the action distribution, of observation parts (B, ...)."""
        return self.network.policy(parts)

    def value(self, parts: Parts) -> torch.Tensor:
        """Values (B,) of observation parts (B, ...)."""
        return self.network.value(parts)

    def policy_and_value(self, parts: Parts) -> tuple[torch.Tensor, torch.Tensor]:
        """Both (B, D) and (B,), reading the observation once."""
        return self.network.policy_and_value(parts)

    def compute_values(
        self, batch: Mapping[str, Any], embeddings: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Values (B,) of RLlib's batch, or of the ``embeddings`` that ``forward_train`` gave for it."""
        if embeddings is not None:
            return self.network.value_of(embeddings)
        return self.network.value(to_parts(batch[Columns.OBS]))

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, torch.Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self.network.policy(to_parts(batch[Columns.OBS]))}

    def _forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, torch.Tensor]:
        inputs, features = self.network.policy_and_value_features(to_parts(batch[Columns.OBS]))
        return {Columns.ACTION_DIST_INPUTS: inputs, Columns.EMBEDDINGS: features}

    def get_inference_action_dist_cls(self) -> type[RLlibDistribution]:
        """What RLlib's own runners and losses take, for exploration and training alike."""
        return rllib_distribution(self.network.distribution)

    def get_non_inference_attributes(self) -> list[str]:
        """What rollout workers do not receive: the value's networks."""
        return ["network.value_encoder", "network.value_head"]

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        inference_only: bool = False,
        **kwargs: Any,
    ) -> dict[str, np.ndarray[Any, Any]]:
        """The weights as arrays of their own, in their own precision (RLlib rounds float64 to float32)."""
        left_out = tuple(f"{name}." for name in self.get_non_inference_attributes()) if inference_only else ()
        return {
            name: np.array(tensor.numpy(force=True))
            for name, tensor in self.state_dict().items()
            if not name.startswith(left_out)
        }

    def set_state(self, state: Mapping[str, np.ndarray[Any, Any] | torch.Tensor]) -> None:
        """Loads weights, all or nothing.

        Raises:
            PolicyError: names, shapes or element types differ.
        """
        if self.inference_only:
            left_out = tuple(f"{name}." for name in self.get_non_inference_attributes())
            state = {name: value for name, value in state.items() if not name.startswith(left_out)}
        load_weights(self, state)
