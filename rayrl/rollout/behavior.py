"""Behaviours: what chooses the actions of a rollout, and what it leaves beside them in the batch."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rayrl.envs.demonstrators import Demonstrator
from rayrl.errors import DataError, RayrlError
from rayrl.experience.columns import (
    ACTION_DIST_INPUTS,
    ACTION_LOGP,
    ACTIONS,
    STATE,
    TEMPERATURE,
    ColumnSpec,
    unflatten_observation,
)
from rayrl.models.observations import ACTION_MASK
from rayrl.rollout.step_buffer import StepBuffer

if TYPE_CHECKING:
    from rayrl.models.policy_module import PolicyModule

Array = NDArray[Any]
Columns = dict[str, Any]
NOISE_STEPS = 256
"""At most so many vector steps have their sampling noise drawn at once,"""
NOISE_BYTES = 1 << 22
"""and no more of it than this, unless one step takes more."""


class Behavior(Protocol):
    """Chooses actions for all sub-environments at once."""

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """The step columns that ``act`` fills besides the actions."""
        ...

    @property
    def memory_size(self) -> int:
        """Numbers that it remembers of each open episode; 0 where it goes by the observation alone."""
        ...

    def begin(self, num_envs: int, generator: np.random.Generator, memory: Array) -> None:
        """Called before the first step of a rollout.

        Args:
            num_envs: number of sub-environments N.
            generator: all its randomness comes from this.
            memory: float32 ``(N, memory_size)``, what it remembers of the open episodes, 0 at their start;
                ``act`` changes it in place, and whoever collects sets it to 0 where an episode ends.
        """
        ...

    def act(self, env: VectorEnv, buffer: StepBuffer, idle: NDArray[np.bool_] | None) -> tuple[Array, Array]:
        """Actions for one vector step; fills row ``buffer.length`` of its own columns.

        Args:
            env: the vector environment.
            buffer: row ``buffer.length`` of its observations, ``(N, ...)``, is what to act on.
            idle: ``(N,)`` sub-environments that will reset themselves instead; None where none will.

        Returns:
            The actions to keep, ``(N, ...)``, and the actions to give to the environment.
        """
        ...

    def finish(self, columns: Columns) -> Columns:
        """The columns that are computed for all rows at once, from those collected."""
        ...


def policy_parts(buffer: StepBuffer, idle: NDArray[np.bool_] | None) -> dict[str, torch.Tensor]:
    """The newest observation's parts ``(N, ...)``, as a policy reads them."""
    time = buffer.length
    parts = {name: torch.from_numpy(array[time]) for name, array in buffer.observations.items()}
    parts |= {name: torch.from_numpy(array) for name, array in buffer.static.now.items()}
    if idle is not None and ACTION_MASK in parts:
        # The last observation of an episode may allow no action.
        mask = np.maximum(buffer.observations[ACTION_MASK][time], idle[:, None])
        parts[ACTION_MASK] = torch.from_numpy(mask)
    return parts


class PolicyBehavior:
    """Acts by a policy, by sampling or by its most likely action.

    Args:
        module: the policy.
        explore: sample actions; otherwise take the distribution's mode.
        temperature: at which actions are sampled; it is kept with every step then. None samples from the
            policy itself, and keeps nothing.
        random_shares: of an ε-greedy policy, how often it is to act at random, for one vector step after the
            other; None leaves that as it is.
        for_replay: keep the environment's actions, as datasets do, and nothing else; otherwise the policy's,
            with the distribution inputs and log-probabilities that on-policy learners need.
    """

    def __init__(
        self,
        module: PolicyModule,
        *,
        explore: bool,
        temperature: float | None = None,
        random_shares: Iterator[float] | None = None,
        for_replay: bool = False,
    ) -> None:
        self._for_replay = for_replay
        self._random_shares = random_shares
        self._network = module.network
        self._distribution = module.distribution
        self._explore = explore
        self._temperature = temperature if temperature is None or explore else 1.0

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """The inputs of the distribution at temperature 1, as RLlib names them, the temperature, the memory.

        Nothing where it is for replay.
        """
        if self._for_replay:
            return {}
        inputs = ColumnSpec(np.dtype(np.float32), (self._distribution.input_size,))
        kept = {ACTION_DIST_INPUTS: inputs}
        if self._temperature is not None:
            kept[TEMPERATURE] = ColumnSpec(np.dtype(np.float32))
        if self.memory_size:
            kept[STATE] = ColumnSpec(np.dtype(np.float32), (self.memory_size,))
        return kept

    @property
    def memory_size(self) -> int:
        """That of the network."""
        return self._network.state_size

    def begin(self, num_envs: int, generator: np.random.Generator, memory: Array) -> None:
        """Starts a new stream of sampling noise."""
        self._memory = torch.from_numpy(memory)
        self._generator = generator
        self._num_envs = num_envs
        self._noise: Array = np.empty(0)
        self._drawn = 0
        if self._temperature is not None:
            self._temperatures = torch.full((num_envs,), self._temperature)

    def act(self, env: VectorEnv, buffer: StepBuffer, idle: NDArray[np.bool_] | None) -> tuple[Array, Array]:
        """Samples from, or takes the mode of, the policy's distribution."""
        time = buffer.length
        if self._random_shares is not None:
            self._network.epsilon.fill_(next(self._random_shares))
        given, after = self._network.step(policy_parts(buffer, idle), self._memory)
        inputs = given.numpy()
        if not self._for_replay:
            buffer.steps[ACTION_DIST_INPUTS][time] = inputs
        if after is not self._memory:
            if not self._for_replay:
                buffer.steps[STATE][time] = self._memory
            self._memory.copy_(after)
        if not self._explore:
            actions = self._distribution.mode(inputs)
        else:
            if self._drawn == len(self._noise):
                self._draw()
            actions = self._distribution.sample(self._tempered(inputs), self._noise[self._drawn])
            self._drawn += 1
        if self._temperature is not None:
            buffer.steps[TEMPERATURE][time] = self._temperature
        taken = self._distribution.to_env(actions)
        return taken if self._for_replay else actions, taken

    def finish(self, columns: Columns) -> Columns:
        """Log-probabilities of the actions taken, by the learner's own formula, so that ratios start at 1."""
        if self._for_replay:
            return {}
        inputs = torch.from_numpy(columns[ACTION_DIST_INPUTS])
        if self._temperature is not None:
            # Not the present one for all: rows left from the batch before were drawn at another.
            inputs = self._distribution.tempered(inputs, torch.from_numpy(columns[TEMPERATURE]))
        actions = torch.from_numpy(columns[ACTIONS])
        return {ACTION_LOGP: self._distribution.logp(inputs, actions).numpy()}

    def _tempered(self, inputs: Array) -> Array:
        """The inputs (N, D) of the distribution that is sampled from."""
        if self._temperature is None:
            return inputs
        tempered: Array = self._distribution.tempered(torch.from_numpy(inputs), self._temperatures).numpy()
        return tempered

    def _draw(self) -> None:
        """Draws noise for the next steps, twice as many as before, since a rollout may be short."""
        step_bytes = 4 * self._num_envs * self._distribution.noise_size
        most = max(1, min(NOISE_STEPS, NOISE_BYTES // step_bytes))
        steps = min(max(16, 2 * len(self._noise)), most)
        self._noise = self._distribution.noise(self._generator, (steps, self._num_envs))
        self._drawn = 0


class RandomBehavior:
    """Acts uniformly over the action space, as its ``sample`` does.

    Args:
        action_space: of one sub-environment.
        module: the policy whose units the kept actions are to have; without one, the environment's.
    """

    def __init__(self, action_space: gym.Space[Any], module: PolicyModule | None = None) -> None:
        self._space = action_space
        self._distribution = None if module is None else module.distribution

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """None: a random action has no distribution inputs."""
        return {}

    @property
    def memory_size(self) -> int:
        """0."""
        return 0

    def begin(self, num_envs: int, generator: np.random.Generator, memory: Array) -> None:
        """Seeds the action space."""
        self._batched = gym.vector.utils.batch_space(self._space, num_envs)
        self._batched.seed(int(generator.integers(2**31)))

    def act(self, env: VectorEnv, buffer: StepBuffer, idle: NDArray[np.bool_] | None) -> tuple[Array, Array]:
        """One sample for each sub-environment."""
        actions = self._batched.sample()
        kept = actions if self._distribution is None else self._distribution.from_env(actions)
        return kept, actions

    def finish(self, columns: Columns) -> Columns:
        """Nothing to add."""
        return {}


class DemonstratorBehavior:
    """Acts by a demonstrator, which may read the environment's own state.

    Args:
        name: what an error calls the demonstrator.
        demonstrator: the program.
    """

    def __init__(self, name: str, demonstrator: Demonstrator) -> None:
        self._name = name
        self._demonstrator = demonstrator

    @property
    def columns(self) -> Mapping[str, ColumnSpec]:
        """None: a demonstrator has no distribution inputs."""
        return {}

    @property
    def memory_size(self) -> int:
        """0: what a demonstrator remembers, it keeps itself."""
        return 0

    def begin(self, num_envs: int, generator: np.random.Generator, memory: Array) -> None:
        """Nothing: a demonstrator has its randomness from its own seed."""

    def act(self, env: VectorEnv, buffer: StepBuffer, idle: NDArray[np.bool_] | None) -> tuple[Array, Array]:
        """The demonstrator's choice for each sub-environment.

        Raises:
            DataError: the demonstrator raised, or an action is not in the action space.
        """
        time = buffer.length
        current = {name: array[time] for name, array in buffer.observations.items()} | buffer.static.now
        try:
            given = np.asarray(self._demonstrator.act(env.unwrapped, unflatten_observation(current)))
        except RayrlError:
            raise
        except Exception as error:
            raise DataError(
                "raised:\n" + "".join(traceback.format_exception(error)).rstrip(),
                where=f"demonstrator {self._name}",
                remedy="mend the demonstrator; the same command keeps what was collected",
            ) from error
        space = env.action_space
        actions = given.astype(space.dtype)
        exact = np.issubdtype(space.dtype, np.floating) or np.array_equal(actions, given)
        if not exact or not space.contains(actions):
            raise DataError(
                f"gave {given.tolist()}, which are not {env.num_envs} actions of {env.single_action_space}",
                where=f"demonstrator {self._name}",
            )
        return actions, actions

    def finish(self, columns: Columns) -> Columns:
        """Nothing to add."""
        return {}
