"""A trained policy that acts, without Ray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from rayrl.errors import DataError, PolicyError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.distributions import Categorical
from rayrl.models.observations import OBS, to_parts
from rayrl.models.weights import LoadReport
from rayrl.storage.spaces import leaf_spaces


class Policy:
    """A network that turns observations into an environment's actions.

    Args:
        network: the weights, on the device on which they are to run.
        architecture: its registered name.
        provenance: where it comes from, as whoever saved it wrote.
        report: what was loaded into the network.
    """

    def __init__(
        self,
        network: ActorCriticNetwork,
        *,
        architecture: str,
        provenance: Mapping[str, Any],
        report: LoadReport,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.architecture = architecture
        self.provenance = dict(provenance)
        self.report = report
        self._leaves = leaf_spaces(network.observation_space, OBS)
        self._device = next(network.parameters()).device
        self._generator = np.random.default_rng()

    @property
    def spaces(self) -> tuple[gym.Space, gym.Space]:
        """The observation and the action space of the environments that it acts in."""
        return self.network.observation_space, self.network.action_space

    def act(
        self,
        observations: Any,
        *,
        deterministic: bool = True,
        generator: np.random.Generator | None = None,
    ) -> Any:
        """Actions for the environment.

        Args:
            observations: one observation, or a batch of N as a vectorized environment gives them: an
                array, or nested dicts of arrays.
            deterministic: take the mode; otherwise sample.
            generator: what samples are drawn from; by default a generator of the policy's own, seeded by the
                operating system.

        Returns:
            One action, or N in an array, in the action space's element type and bounds.

        Raises:
            DataError: the observations are not of the space's form, or a mask forbids every action.
        """
        inputs, batched = self._distribution_inputs(observations)
        distribution = self.network.distribution
        if deterministic:
            actions = distribution.mode(inputs)
        else:
            noise = distribution.noise(generator or self._generator, (len(inputs),))
            actions = distribution.sample(inputs, noise)
        actions = distribution.to_env(actions)
        return actions if batched else actions[0]

    def action_probabilities(self, observations: Any) -> NDArray[np.float32]:
        """Probabilities (n,) of the n actions in one observation, or (N, n) in a batch.

        Raises:
            PolicyError: the actions are not Discrete.
            DataError: as ``act``.
        """
        distribution = self.network.distribution
        if not isinstance(distribution, Categorical):
            raise PolicyError(
                f"only Discrete actions have a list of probabilities, not {distribution.space}",
                where="action space",
            )
        inputs, batched = self._distribution_inputs(observations)
        probabilities = distribution.probabilities(inputs)
        return probabilities if batched else probabilities[0]

    def _distribution_inputs(self, observations: Any) -> tuple[NDArray[np.float32], bool]:
        """The distribution's inputs (N, D), and whether the observations were a batch."""
        parts = {name: np.asarray(part) for name, part in to_parts(observations).items()}
        if parts.keys() != self._leaves.keys():
            raise DataError(
                f"the observation has the parts {sorted(parts)}, the policy reads {sorted(self._leaves)}",
                where="observation",
            )
        ranks = {name: part.ndim - len(self._leaves[name].shape or ()) for name, part in parts.items()}
        batched = all(rank == 1 for rank in ranks.values())
        for name, part in parts.items():
            shape = self._leaves[name].shape or ()
            if part.shape[int(batched) :] != shape:
                raise DataError(
                    f"{name} has shape {part.shape}",
                    where="observation",
                    remedy=f"give one of shape {shape}, or a batch of shape (N, {str(shape)[1:]}",
                )
        with torch.inference_mode():
            # torch.tensor copies, so that read-only arrays are no concern.
            tensors = {
                name: torch.tensor(part if batched else part[None], device=self._device)
                for name, part in parts.items()
            }
            return self.network.policy(tensors).float().numpy(force=True), batched
