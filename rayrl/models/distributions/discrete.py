"""Distributions over Discrete, MultiDiscrete and MultiBinary actions, given by logits."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rayrl.models.distributions.base import ActionDistribution, FloatArray

MASKED_LOGIT = -1e9
"""Logit of an action that may not be taken: its probability is exactly 0, and p log p stays finite."""


def gumbel(generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Standard Gumbel noise, −log E for E ~ Exp(1), which keeps its upper tail in float32."""
    exponential = generator.standard_exponential(shape, dtype=np.float32)
    np.maximum(exponential, np.finfo(np.float32).tiny, out=exponential)
    np.log(exponential, out=exponential)
    return np.negative(exponential, out=exponential)


class Categorical(ActionDistribution):
    """One of n actions, ``start`` … ``start + n − 1``; the inputs are n logits.

    Sampling is the Gumbel-max trick: argmax(logits + noise) has the probabilities softmax(logits).
    """

    def __init__(self, space: gym.spaces.Discrete) -> None:
        self.space = space
        self.input_size = self.noise_size = int(space.n)
        self._start = int(space.start)
        self._dtype = space.dtype

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        """Gumbel noise (\\*shape, n)."""
        return gumbel(generator, (*shape, self.noise_size))

    def sample(self, inputs: FloatArray, noise: FloatArray) -> NDArray[Any]:
        """Actions (N,) from logits (N, n) and Gumbel noise (N, n)."""
        return self._action((inputs + noise).argmax(1))

    def mode(self, inputs: FloatArray) -> NDArray[Any]:
        """The most probable actions (N,), the lowest where several are."""
        return self._action(inputs.argmax(1))

    def _action(self, index: NDArray[np.int64]) -> NDArray[Any]:
        if self._start:
            index += self._start
        return index.astype(self._dtype, copy=False)

    def logp(self, inputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log-probability (B,) of actions (B,)."""
        index = actions.long()
        if self._start:
            index = index - self._start
        return functional.log_softmax(inputs.float(), dim=-1).gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def entropy(self, inputs: torch.Tensor) -> torch.Tensor:
        """−Σ p log p (B,)."""
        return _categorical_entropy(inputs.float())

    def kl(self, inputs_p: torch.Tensor, inputs_q: torch.Tensor) -> torch.Tensor:
        """Σ p (log p − log q) (B,)."""
        return _categorical_kl(inputs_p.float(), inputs_q.float())

    def leaves_a_choice(self, mask: torch.Tensor) -> torch.Tensor:
        """Whether (B,) a mask (B, n) of allowed actions allows any."""
        return mask.any(dim=-1)

    def probabilities(self, inputs: FloatArray) -> FloatArray:
        """softmax(logits) (N, n)."""
        probabilities: FloatArray = np.exp(inputs - inputs.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
        return probabilities


class MultiCategorical(ActionDistribution):
    """Independent categoricals, one per entry of a MultiDiscrete; the inputs are their logits in a row."""

    def __init__(self, space: gym.spaces.MultiDiscrete) -> None:
        self.space = space
        self._sizes = [int(n) for n in space.nvec.ravel()]
        self.input_size = self.noise_size = sum(self._sizes)
        self._widest = max(self._sizes)
        self._equal = min(self._sizes) == self._widest
        self._ends = np.cumsum(self._sizes).tolist()
        self._start = np.asarray(space.start).ravel()
        self._shifted = bool(self._start.any())

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        """Gumbel noise (\\*shape, Σn)."""
        return gumbel(generator, (*shape, self.noise_size))

    def sample(self, inputs: FloatArray, noise: FloatArray) -> NDArray[Any]:
        """Actions (N, \\*A) from logits (N, Σn) and Gumbel noise (N, Σn)."""
        return self.mode(inputs + noise)

    def mode(self, inputs: FloatArray) -> NDArray[Any]:
        """The most probable actions (N, \\*A)."""
        rows, sizes = len(inputs), self._sizes
        if self._equal:
            index = inputs.reshape(rows, len(sizes), self._widest).argmax(2)
        else:
            index = np.empty((rows, len(sizes)), np.int64)
            for i, (size, end) in enumerate(zip(sizes, self._ends, strict=True)):
                index[:, i] = inputs[:, end - size : end].argmax(1)
        if self._shifted:
            index += self._start
        actions: NDArray[Any] = index.astype(self.space.dtype, copy=False).reshape(rows, *self.space.shape)
        return actions

    def logp(self, inputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log-probability (B,) of actions (B, \\*A): the sum over the entries."""
        index = actions.long().flatten(1)
        if self._shifted:
            index = index - torch.as_tensor(self._start, device=index.device)
        logp = functional.log_softmax(self._by_entry(inputs), dim=-1)
        return logp.gather(-1, index.unsqueeze(-1)).squeeze(-1).sum(-1)

    def entropy(self, inputs: torch.Tensor) -> torch.Tensor:
        """The sum of the entries' entropies (B,)."""
        return _categorical_entropy(self._by_entry(inputs)).sum(-1)

    def kl(self, inputs_p: torch.Tensor, inputs_q: torch.Tensor) -> torch.Tensor:
        """The sum of the entries' divergences (B,)."""
        return _categorical_kl(self._by_entry(inputs_p), self._by_entry(inputs_q)).sum(-1)

    def leaves_a_choice(self, mask: torch.Tensor) -> torch.Tensor:
        """Whether (B,) a mask (B, Σn) of allowed actions allows one in every entry."""
        entries = torch.split_with_sizes(mask, self._sizes, dim=-1)
        return torch.stack([allowed.any(dim=-1) for allowed in entries]).all(dim=0)

    def _by_entry(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, Σn) as (B, entries, widest), shorter entries filled with actions of probability 0."""
        inputs = inputs.float()
        if self._equal:
            return inputs.reshape(-1, len(self._sizes), self._widest)
        entries = torch.split_with_sizes(inputs, self._sizes, dim=-1)
        return torch.stack(
            [functional.pad(x, (0, self._widest - x.shape[-1]), value=MASKED_LOGIT) for x in entries], dim=-2
        )


class Bernoulli(ActionDistribution):
    """Independent bits of a MultiBinary; the inputs are the logits of a 1."""

    def __init__(self, space: gym.spaces.MultiBinary) -> None:
        self.space = space
        self.input_size = self.noise_size = int(np.prod(space.shape))

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        """Logistic noise (\\*shape, bits), the difference of two Gumbel variables."""
        shape = (*shape, self.noise_size)
        noise = gumbel(generator, shape)
        noise -= gumbel(generator, shape)
        return noise

    def sample(self, inputs: FloatArray, noise: FloatArray) -> NDArray[Any]:
        """Bits (N, \\*A) from logits (N, bits): P(logit + logistic noise > 0) = sigmoid(logit)."""
        return self.mode(inputs + noise)

    def mode(self, inputs: FloatArray) -> NDArray[Any]:
        """The more probable bits (N, \\*A), 0 where both are."""
        return (inputs > 0).astype(self.space.dtype).reshape(len(inputs), *self.space.shape)

    def logp(self, inputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Σ (a x − log(1 + eˣ)) (B,) for logits x."""
        x = inputs.float()
        return (actions.flatten(1) * x - functional.softplus(x)).sum(-1)

    def entropy(self, inputs: torch.Tensor) -> torch.Tensor:
        """Σ (log(1 + eˣ) − x sigmoid(x)) (B,)."""
        x = inputs.float()
        return (functional.softplus(x) - x * torch.sigmoid(x)).sum(-1)

    def kl(self, inputs_p: torch.Tensor, inputs_q: torch.Tensor) -> torch.Tensor:
        """Σ (sigmoid(x) (x − y) − log(1 + eˣ) + log(1 + eʸ)) (B,) for logits x of p and y of q."""
        x, y = inputs_p.float(), inputs_q.float()
        return (torch.sigmoid(x) * (x - y) - functional.softplus(x) + functional.softplus(y)).sum(-1)


def _categorical_entropy(logits: torch.Tensor) -> torch.Tensor:
    logp = functional.log_softmax(logits, dim=-1)
    return -(logp.exp() * logp).sum(-1)


def _categorical_kl(logits_p: torch.Tensor, logits_q: torch.Tensor) -> torch.Tensor:
    logp, logq = functional.log_softmax(logits_p, dim=-1), functional.log_softmax(logits_q, dim=-1)
    return (logp.exp() * (logp - logq)).sum(-1)
