"""Who can be evaluated: trained policies, and demonstrators."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rayrl.config.base import nearest
from rayrl.envs.demonstrators import DemonstratorFactory, demonstrators_for
from rayrl.errors import PolicyError
from rayrl.evaluation.result import ActorInfo
from rayrl.models.policy import Policy
from rayrl.models.policy_folder import DESCRIPTION_FILE, load_policy
from rayrl.storage.spaces import Spaces

Act = Callable[[VectorEnv, Any], Any]
"""Takes the unwrapped vector environment and its observations, returns actions for all its slots."""

Evaluable = Policy | DemonstratorFactory | str | Path
"""A policy, a policy folder, a demonstrator's factory, or its registered name."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Something that acts in an environment.

    Args:
        info: who it is.
        begin: starts it anew, in the first step of new episodes, with a seed for what it draws at random.
        spaces: of the environments that it fits; None if it fits any.
    """

    info: ActorInfo
    begin: Callable[[int], Act]
    spaces: Spaces | None = None

    def check_fits(self, env: VectorEnv, *, where: str) -> None:
        """Makes sure that the actor and the environment have the same spaces.

        Raises:
            PolicyError: naming each difference.
        """
        if self.spaces is None:
            return
        there = Spaces(env.single_observation_space, env.single_action_space)
        if differences := self.spaces.differences(there):
            raise PolicyError(
                f"the policy does not fit the environment {where}; policy against environment: "
                + "; ".join(differences),
                where=f"policy {self.info.name}",
                remedy="evaluate it in an environment with the spaces that it was trained on; "
                "`rayrl evaluate --for FILE` takes that of an experiment",
            )


def actor_of(evaluable: Evaluable, env_id: str, *, deterministic: bool, device: str = "cpu") -> Actor:
    """Makes an actor of a policy, a demonstrator, or the name of either.

    Args:
        evaluable: a string is a demonstrator's name if the environment has one of it, else a folder.
        env_id: the environment, whose demonstrators are known by name.
        deterministic: whether a policy takes its most likely actions.
        device: where a policy that is loaded from its folder runs.

    Raises:
        PolicyError: the string is neither a demonstrator's name nor a policy folder.
        IntegrityError: the policy folder is damaged.
    """
    if isinstance(evaluable, Policy):
        return _policy_actor(evaluable, deterministic)
    if not isinstance(evaluable, str | Path):
        return _demonstrator_actor(getattr(evaluable, "__name__", repr(evaluable)), evaluable)
    known = demonstrators_for(env_id)
    if isinstance(evaluable, str) and evaluable in known:
        return _demonstrator_actor(evaluable, known[evaluable])
    if not (Path(evaluable) / DESCRIPTION_FILE).is_file():
        raise PolicyError(
            f"neither a folder with a {DESCRIPTION_FILE} nor a demonstrator of {env_id}",
            where=str(evaluable),
            remedy=f"demonstrators: {nearest(str(evaluable), known)}",
        )
    return _policy_actor(load_policy(evaluable, device=device), deterministic)


def _demonstrator_actor(name: str, factory: DemonstratorFactory) -> Actor:
    return Actor(ActorInfo(kind="demonstrator", name=name), lambda seed: factory(seed=seed).act)


def _policy_actor(policy: Policy, deterministic: bool) -> Actor:
    def begin(seed: int) -> Act:
        return _PolicyAct(policy, deterministic, np.random.default_rng(seed))

    info = ActorInfo(
        kind="policy",
        name=policy.architecture,
        weights_sha256=_weights_sha256(policy),
        provenance=policy.provenance,
        deterministic=deterministic,
    )
    return Actor(info, begin, Spaces(*policy.spaces))


class _PolicyAct:
    """Acts by a policy from the first step of episodes on, remembering of each what the policy does."""

    def __init__(self, policy: Policy, deterministic: bool, random: np.random.Generator) -> None:
        self._policy = policy
        self._deterministic = deterministic
        self._random = random
        self._state: NDArray[np.float32] | None = None

    def __call__(self, env: VectorEnv, observations: Any) -> Any:
        if self._state is None:
            self._state = self._policy.initial_state(env.num_envs)
        actions, self._state = self._policy.step(
            observations, self._state, deterministic=self._deterministic, generator=self._random
        )
        return actions


def _weights_sha256(policy: Policy) -> str:
    """The digest that a policy folder with these weights records."""
    state = policy.network.state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
