"""Distributions over actions: sampled in numpy by rollouts, differentiated in PyTorch by learners."""

from __future__ import annotations

import gymnasium as gym

from rayrl.errors import SpaceError
from rayrl.models.distributions.base import ActionDistribution
from rayrl.models.distributions.discrete import MASKED_LOGIT, Bernoulli, Categorical, MultiCategorical
from rayrl.models.distributions.gaussian import DiagGaussian, SquashedGaussian

__all__ = [
    "MASKED_LOGIT",
    "ActionDistribution",
    "Bernoulli",
    "Categorical",
    "DiagGaussian",
    "MultiCategorical",
    "SquashedGaussian",
    "action_distribution",
]


def action_distribution(
    space: gym.Space,
    *,
    squashed: bool = False,
    log_std_clip: float = 20.0,
    normalize_actions: bool = True,
    clip_actions: bool = False,
) -> ActionDistribution:
    """The distribution that fits an action space.

    Args:
        space: Discrete, MultiDiscrete, MultiBinary or a float Box.
        squashed: for a Box, bound the Gaussian by tanh.
        log_std_clip: for a Box, the bound on the absolute logarithm of the standard deviation.
        normalize_actions: for a Box, RLlib's option of that name; see ``DiagGaussian``.
        clip_actions: for a Box, RLlib's option of that name; see ``DiagGaussian``.

    Raises:
        SpaceError: the space has no distribution here, or ``squashed`` does not fit it.
    """
    if isinstance(space, gym.spaces.Box):
        if squashed:
            return SquashedGaussian(space, log_std_clip=log_std_clip)
        return DiagGaussian(
            space,
            log_std_clip=log_std_clip,
            normalize_actions=normalize_actions,
            clip_actions=clip_actions,
        )
    if squashed:
        raise SpaceError(
            f"only a Box can have squashed actions, not {space}",
            where="action space",
            remedy="set squash_actions to false",
        )
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(space)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return MultiCategorical(space)
    if isinstance(space, gym.spaces.MultiBinary):
        return Bernoulli(space)
    raise SpaceError(
        f"no action distribution for {space}",
        where="action space",
        remedy="supported: Discrete, MultiDiscrete, MultiBinary and Box",
    )
