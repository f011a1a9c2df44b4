"""What every action distribution offers to rollouts, learners and environments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class ActionDistribution(ABC):
    """A family of distributions over one action space, given by inputs of fixed size.

    Shapes below: N or B rows, D = ``input_size``, K = ``noise_size``, and A the shape of one action. The
    numpy side serves rollouts: noise is drawn for many steps at once, so that sampling one step is a few
    numpy calls. The PyTorch side computes in float32 whatever the precision of the network, and is
    differentiable in the inputs. Actions are in the policy's units; ``to_env`` gives what the environment
    takes.

    Attributes:
        space: the environment's action space.
        input_size: how many numbers the policy gives for each row.
        noise_size: how many random numbers one sample takes.
    """

    space: gym.Space
    input_size: int
    noise_size: int

    @abstractmethod
    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        """Random numbers that ``sample`` turns into actions: (\\*shape, K)."""

    @abstractmethod
    def sample(self, inputs: FloatArray, noise: FloatArray) -> NDArray[Any]:
        """Actions (N, \\*A) from inputs (N, D) and noise (N, K); the same noise gives the same actions."""

    @abstractmethod
    def mode(self, inputs: FloatArray) -> NDArray[Any]:
        """The actions (N, \\*A) that a deterministic policy takes."""

    @abstractmethod
    def logp(self, inputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log-probability or log-density (B,) of actions (B, \\*A) under inputs (B, D)."""

    @abstractmethod
    def entropy(self, inputs: torch.Tensor) -> torch.Tensor:
        """Entropy (B,) in nats."""

    @abstractmethod
    def kl(self, inputs_p: torch.Tensor, inputs_q: torch.Tensor) -> torch.Tensor:
        """Kullback-Leibler divergence KL(p ‖ q) (B,) in nats, exact."""

    def tempered(self, inputs: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
        """Inputs (B, D) of p^(1/T), normalized, for temperatures T > 0 of (B,): T = 1 changes nothing.

        Above 1 it is flatter, below 1 sharper. Of logits x that is x / T.
        """
        return inputs.float() / temperature.unsqueeze(-1)

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """The environment's form of actions (N, \\*A); the given actions are what is stored."""
        return actions

    def from_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """The policy's form of an environment's actions, as demonstrations hold them."""
        return actions
