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

    @property
    def state_size(self) -> int:
        """S, numbers that it remembers of an episode; 0 for a policy that goes by the observation alone."""
        return self.network.state_size

    def initial_state(self, episodes: int | None = None) -> NDArray[np.float32]:
        """What it remembers where episodes begin: (S,) of one episode, or (episodes, S)."""
        return np.zeros(self.state_size if episodes is None else (episodes, self.state_size), np.float32)

    def act(
        self,
        observations: Any,
        *,
        deterministic: bool = True,
        generator: np.random.Generator | None = None,
    ) -> Any:
        """Actions for the environment, of a policy that remembers nothing; ``step`` serves every policy.

        Args:
            observations: one observation, or a batch of N as a vectorized environment gives them: an
                array, or nested dicts of arrays.
            deterministic: take the mode; otherwise sample.
            generator: what samples are drawn from; by default a generator of the policy's own, seeded by the
                operating system.

        Returns:
            One action, or N in an array, in the action space's element type and bounds.

        Raises:
            PolicyError: the policy remembers.
            DataError: the observations are not of the space's form, or a mask forbids every action.
        """
        return self.step(observations, None, deterministic=deterministic, generator=generator)[0]

    def step(
        self,
        observations: Any,
        state: NDArray[np.float32] | None,
        *,
        deterministic: bool = True,
        generator: np.random.Generator | None = None,
    ) -> tuple[Any, NDArray[np.float32]]:
        """Actions of one step of each episode, and what the policy remembers after it.

        Args:
            observations: as ``act`` takes them.
            state: ``initial_state()`` where an episode begins, (S,) or (N, S); else what the step before
                gave. Where some episodes of a batch begin, their rows are to be 0. A policy that remembers
                nothing takes None as well.
            deterministic: take the mode; otherwise sample.
            generator: as ``act`` takes it.

        Returns:
            What ``act`` gives, and the next state, in the form of this one.

        Raises:
            PolicyError: there is no state, and the policy remembers.
            DataError: as ``act``; or the state is not of as many episodes.
        """
        inputs, after, batched = self._forward(observations, state)
        distribution = self.network.distribution
        if deterministic:
            actions = distribution.mode(inputs)
        else:
            noise = distribution.noise(generator or self._generator, (len(inputs),))
            actions = distribution.sample(inputs, noise)
        actions = distribution.to_env(actions)
        return (actions, after) if batched else (actions[0], after[0])

    def action_probabilities(
        self, observations: Any, state: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Probabilities (n,) of the n actions in one observation, or (N, n) in a batch.

        Args:
            observations: as ``act`` takes them.
            state: as ``step`` takes it; a policy that remembers nothing needs none.

        Raises:
            PolicyError: the actions are not Discrete; or there is no state, and the policy remembers.
            DataError: as ``step``.
        """
        distribution = self.network.distribution
        if not isinstance(distribution, Categorical):
            raise PolicyError(
                f"only Discrete actions have a list of probabilities, not {distribution.space}",
                where="action space",
            )
        inputs, _, batched = self._forward(observations, state)
        probabilities = distribution.probabilities(inputs)
        return probabilities if batched else probabilities[0]

    def _forward(
        self, observations: Any, state: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
        """The distribution's inputs (N, D), the next states (N, S), and whether the observations are many."""
        if state is None and self.state_size:
            raise PolicyError(
                f"it remembers {self.state_size} numbers of each episode, which were not given",
                where=f"policy {self.architecture}",
                remedy="go by step(observations, state), and begin each episode with initial_state()",
            )
        with torch.inference_mode():
            parts, batched = self._parts(observations)
            episodes = len(next(iter(parts.values()))) if batched else None
            due = self.initial_state(episodes)
            before = due if state is None else np.asarray(state, np.float32)
            if before.shape != due.shape:
                raise DataError(
                    f"has shape {before.shape}",
                    where="state",
                    remedy=f"give one of shape {due.shape}, as of initial_state({episodes or ''})",
                )
            states = torch.tensor(before if batched else before[None], device=self._device)
            inputs, after = self.network.step(parts, states)
            return inputs.float().numpy(force=True), after.numpy(force=True), batched

    def _parts(self, observations: Any) -> tuple[dict[str, torch.Tensor], bool]:
        """The parts (N, ...), and whether they were of many observations."""
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
        # torch.tensor copies, so that read-only arrays are no concern.
        return {
            name: torch.tensor(part if batched else part[None], device=self._device)
            for name, part in parts.items()
        }, batched
