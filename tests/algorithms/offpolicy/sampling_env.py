"""Pendulum whose module registers a sampler."""

from gymnasium.envs.classic_control.pendulum import PendulumEnv

from rayrl.experience.replay import register_sampler
from rayrl.experience.replay.samplers import Recent


@register_sampler("newest_half")
class NewestHalf(Recent):
    """The newer half of the steps."""

    fraction: float = 0.5


class Pendulum(PendulumEnv):
    """The same."""
