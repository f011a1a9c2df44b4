"""A policy folder as demonstrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rayrl.experience.columns import ColumnSpec
from rayrl.models.policy import Policy
from rayrl.models.policy_folder import load_policy
from rayrl.rollout.behavior import Array, Columns, policy_parts
from rayrl.rollout.step_buffer import StepBuffer


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Makes the behaviour of a policy folder, in whatever process collects.

    Args:
        path: the folder, as every worker sees it.
        weights_sha256: digest of its weights.
        deterministic: take the mode; otherwise sample.
    """

    path: Path
    weights_sha256: str
    deterministic: bool

    def __call__(self, seed: int) -> PolicyDemonstration:
        """A behaviour; its randomness comes from the round's generator, not from ``seed``.

        Raises:
            IntegrityError: the folder is damaged.
        """
        return PolicyDemonstration(_loaded(self.path, self.weights_sha256), deterministic=self.deterministic)


@lru_cache(maxsize=8)
def _loaded(path: Path, weights_sha256: str) -> Policy:
    return load_policy(path)


class PolicyDemonstration:
    """Acts by a policy, and leaves of it nothing but the environment's actions, as other demonstrators do.

    Args:
        policy: of the environment's spaces.
        deterministic: take the mode; otherwise sample.
    """

    def __init__(self, policy: Policy, *, deterministic: bool) -> None:
        self._network = policy.network
        self._distribution = policy.network.distribution
        self._deterministic = deterministic

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """None."""
        return {}

    @property
    def memory_size(self) -> int:
        """That of the network."""
        return self._network.state_size

    def begin(self, num_envs: int, generator: np.random.Generator, memory: Array) -> None:
        """Takes over the generator of the round."""
        self._generator = generator
        self._memory = torch.from_numpy(memory)

    def act(self, env: VectorEnv, buffer: StepBuffer, idle: NDArray[np.bool_] | None) -> tuple[Array, Array]:
        """The policy's actions in the environment's units, to keep and to give."""
        given, after = self._network.step(policy_parts(buffer, idle), self._memory)
        inputs = given.numpy()
        self._memory.copy_(after)
        if self._deterministic:
            actions = self._distribution.mode(inputs)
        else:
            noise = self._distribution.noise(self._generator, (len(inputs),))
            actions = self._distribution.sample(inputs, noise)
        for_env = self._distribution.to_env(actions)
        return for_env, for_env

    def finish(self, columns: Columns) -> Columns:
        """Nothing to add."""
        return {}
