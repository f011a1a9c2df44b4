"""The replay buffer: experience kept in columns, sampled in many ways, saved and loaded."""

from rayrl.experience.replay.buffer import ReplayBuffer
from rayrl.experience.replay.groups import Where
from rayrl.experience.replay.options import PartitionOptions, PriorityOptions, ReplayOptions
from rayrl.experience.replay.samplers import Sampler, register_sampler

__all__ = [
    "PartitionOptions",
    "PriorityOptions",
    "ReplayBuffer",
    "ReplayOptions",
    "Sampler",
    "Where",
    "register_sampler",
]
