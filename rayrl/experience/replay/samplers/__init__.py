"""Samplers: how likely each item of a replay buffer is to be drawn."""

from rayrl.experience.replay.samplers.base import (
    Census,
    Sampler,
    is_rayrls_own,
    make_sampler,
    register_sampler,
    sampler_class,
    sampler_names,
)
from rayrl.experience.replay.samplers.by_rows import Balanced, Recent, Uniform
from rayrl.experience.replay.samplers.by_trajectory import HighReward, OnPoliciness
from rayrl.experience.replay.samplers.prioritized import Prioritized

__all__ = [
    "Balanced",
    "Census",
    "HighReward",
    "OnPoliciness",
    "Prioritized",
    "Recent",
    "Sampler",
    "Uniform",
    "is_rayrls_own",
    "make_sampler",
    "register_sampler",
    "sampler_class",
    "sampler_names",
]
