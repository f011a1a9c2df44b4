"""Behaviours: what chooses the actions of a rollout, and what it leaves beside them in the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rayrl.envs.demonstrators import Demonstrator, DemonstratorFactory
from rayrl.experience.columns import ACTION_DIST_INPUTS, ACTION_LOGP, ColumnSpec, unflatten_observation
from rayrl.models.actor_critic import ActorCritic

Array = NDArray[Any]

NOISE_STEPS = 256
"""Vector steps whose sampling noise is drawn at once."""


class Behavior(Protocol):
    """Chooses actions for all sub-environments at once."""

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """The step columns that ``act`` fills besides the actions."""
        ...

    def begin(self, env: VectorEnv, generator: np.random.Generator) -> None:
        """Called before a rollout's first step; all randomness comes from ``generator``."""
        ...

    def act(
        self, time: int, observations: Mapping[str, Array], steps: Mapping[str, Array]
    ) -> tuple[Array, Any]:
        """Actions for one vector step.

        Args:
            time: row of the step buffer; ``observations[name][time]`` is what to act on, ``(N, ...)``.
            observations: observation parts, time first.
            steps: the columns named by ``columns``, time first; row ``time`` is to be filled.

        Returns:
            The actions to keep, ``(N, ...)``, and the actions to give to the environment.
        """
        ...

    def finish(self, columns: dict[str, Any]) -> dict[str, Any]:
        """The columns that are computed for a whole batch at once, from those collected."""
        ...


class PolicyBehavior:
    """Acts by a policy, by sampling or by its most likely action.

    Args:
        module: the policy; its distribution inputs are kept with every step.
        explore: sample actions; otherwise take the distribution's mode.
    """

    def __init__(self, module: ActorCritic, *, explore: bool) -> None:
        self._network = module.network
        self._distribution = module.distribution
        self._explore = explore
        self._noise: Array = np.empty(0)
        self._drawn = 0

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """The inputs of the action distribution, as RLlib names them."""
        return {ACTION_DIST_INPUTS: ColumnSpec(np.dtype(np.float32), (self._distribution.input_size,))}

    def begin(self, env: VectorEnv, generator: np.random.Generator) -> None:
        """Starts a new stream of sampling noise."""
        self._generator = generator
        self._num_envs = env.num_envs
        self._drawn = NOISE_STEPS

    def act(
        self, time: int, observations: Mapping[str, Array], steps: Mapping[str, Array]
    ) -> tuple[Array, Any]:
        """Samples from, or takes the mode of, the policy's distribution."""
        parts = {name: torch.from_numpy(array[time]) for name, array in observations.items()}
        inputs = self._network.policy(parts).numpy()
        steps[ACTION_DIST_INPUTS][time] = inputs
        if self._explore:
            if self._drawn == NOISE_STEPS:
                self._noise = self._distribution.noise(self._generator, (NOISE_STEPS, self._num_envs))
                self._drawn = 0
            actions = self._distribution.sample(inputs, self._noise[self._drawn])
            self._drawn += 1
        else:
            actions = self._distribution.mode(inputs)
        return actions, self._distribution.to_env(actions)

    def finish(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Log-probabilities of the actions taken, by the learner's own formula, so that ratios start at 1."""
        inputs = torch.from_numpy(columns[ACTION_DIST_INPUTS])
        actions = torch.from_numpy(columns["actions"])
        return {ACTION_LOGP: self._distribution.logp(inputs, actions).numpy()}


class RandomBehavior:
    """Acts uniformly over the action space, as its ``sample`` does."""

    def __init__(self, action_space: gym.Space[Any]) -> None:
        self._space = action_space

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """None: a random action has no distribution inputs."""
        return {}

    def begin(self, env: VectorEnv, generator: np.random.Generator) -> None:
        """Seeds the action space."""
        self._batched = gym.vector.utils.batch_space(self._space, env.num_envs)
        self._batched.seed(int(generator.integers(2**31)))

    def act(
        self, time: int, observations: Mapping[str, Array], steps: Mapping[str, Array]
    ) -> tuple[Array, Any]:
        """One sample for each sub-environment."""
        actions = self._batched.sample()
        return actions, actions

    def finish(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Nothing to add."""
        return {}


class DemonstratorBehavior:
    """Acts by a demonstrator, which may read the environment's own state.

    Args:
        make: makes the demonstrator from a seed.
    """

    def __init__(self, make: DemonstratorFactory) -> None:
        self._make = make
        self._demonstrator: Demonstrator | None = None

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """None: a demonstrator has no distribution inputs."""
        return {}

    def begin(self, env: VectorEnv, generator: np.random.Generator) -> None:
        """Makes the demonstrator at the first rollout; later ones go on with it."""
        self._env = env.unwrapped
        if self._demonstrator is None:
            self._demonstrator = self._make(seed=int(generator.integers(2**31)))

    def act(
        self, time: int, observations: Mapping[str, Array], steps: Mapping[str, Array]
    ) -> tuple[Array, Any]:
        """The demonstrator's choice for each sub-environment."""
        assert self._demonstrator is not None
        current = unflatten_observation({name: array[time] for name, array in observations.items()})
        actions = self._demonstrator.act(self._env, current)
        return actions, actions

    def finish(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Nothing to add."""
        return {}
