"""A policy as an RLModule: what every algorithm's module is, and all that rollout workers need of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.util.debug import log_once

from rayrl.models.actor_critic_network import ActorCriticNetwork, Parts
from rayrl.models.distributions import ActionDistribution
from rayrl.models.normalizer import Normalizer
from rayrl.models.observations import to_parts
from rayrl.models.rllib_distribution import RLlibDistribution, rllib_distribution
from rayrl.models.sequences import Sequences
from rayrl.models.weights import load_weights

# RLlib's own constructor makes such a config, whatever a module is made of, and says, once, not to.
log_once("RLModule(config=[RLModuleConfig object])")


class PolicyModule(TorchRLModule, InferenceOnlyAPI):
    """``ActorCriticNetwork`` behind RLlib's API; subclasses build it in ``setup``.

    Where RLlib loads a state leniently, this module is strict: ``set_state`` wants every key of the module
    and, except for what an inference-only module leaves out, no other.

    Attributes:
        network: the networks themselves. Hot loops call its ``policy``.
    """

    network: ActorCriticNetwork

    @property
    def distribution(self) -> ActionDistribution:
        """The action distribution whose inputs ``policy`` gives."""
        return self.network.distribution

    @property
    def normalizer(self) -> Normalizer:
        """Running moments of the observations."""
        return self.network.normalizer

    def policy(self, parts: Parts, sequences: Sequences | None = None) -> torch.Tensor:
        """Inputs (B, D) of the action distribution, of observation parts (B, ...)."""
        return self.network.policy(parts, sequences)

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, torch.Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self.network.policy(to_parts(batch[Columns.OBS]))}

    def get_inference_action_dist_cls(self) -> type[RLlibDistribution]:
        """What RLlib's own runners and losses take, for exploration and training alike."""
        return rllib_distribution(self.network.distribution)

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
