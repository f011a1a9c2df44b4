"""What the replay buffers of the benchmarks hold: whole episodes of random steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from gymnasium.spaces import Box

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.ragged import offsets_of
from rayrl.experience.replay import PartitionOptions, PriorityOptions, ReplayBuffer, ReplayOptions
from rayrl.storage.spaces import Spaces

ACTIONS = Box(-1, 1, (6,), np.float32)
WIDTHS = {
    "17": Box(-np.inf, np.inf, (17,), np.float32),
    "128": Box(-np.inf, np.inf, (128,), np.float32),
    "pixels": Box(0, 255, (84, 84, 4), np.uint8),
}
"""Spaces of the observations, by what the rows call them."""


@dataclass(frozen=True)
class Steps:
    """Steps of whole episodes, ``(n, ...)`` each, as ring buffers store them.

    Args:
        space: of the observations.
        length: steps of an episode.
        obs: observations.
        next_obs: those after the steps.
        actions: six floats.
        rewards: one float.
        dones: whether the episode ended; each one terminates.
    """

    space: Box
    length: int
    obs: np.ndarray
    next_obs: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    dones: np.ndarray

    def __len__(self) -> int:
        return len(self.rewards)

    def part(self, start: int, stop: int) -> Steps:
        """Some of the steps."""
        names = ("obs", "next_obs", "actions", "rewards", "dones")
        return replace(self, **{name: getattr(self, name)[start:stop] for name in names})

    @property
    def payload(self) -> int:
        """Bytes of a step, its observation counted once."""
        arrays = (self.obs, self.actions, self.rewards, self.dones)
        return sum(array.nbytes for array in arrays) // len(self)


def steps(space: Box, n: int, length: int, seed: int = 0) -> Steps:
    """Random steps; ``n`` is a multiple of ``length``, the steps of an episode."""
    rng = np.random.default_rng(seed)
    if space.dtype == np.uint8:
        obs = rng.integers(0, 256, (n, *space.shape), np.uint8)
    else:
        obs = rng.standard_normal((n, *space.shape), np.float32)
    dones = np.zeros(n, np.bool_)
    dones[length - 1 :: length] = True
    return Steps(
        space,
        length,
        obs,
        np.concatenate([obs[1:], obs[:1]]),
        rng.uniform(-1, 1, (n, *ACTIONS.shape)).astype(np.float32),
        rng.standard_normal(n, np.float32),
        dones,
    )


def whole_episodes(of: Steps, first_episode: int = 0) -> TrajectoryBatch:
    """The steps as a batch of their episodes."""
    n = len(of) // of.length
    return _batch(of, np.full(n, of.length), np.arange(first_episode, first_episode + n), 0, of.dones)


def vector_step(of: Steps, step: int, *, ends: bool) -> TrajectoryBatch:
    """A step of as many environments as there are steps, number ``step`` of the episode of each."""
    n = len(of)
    return _batch(of, np.ones(n, np.int64), np.arange(n), step, np.full(n, ends))


def _batch(
    of: Steps, lengths: np.ndarray, episodes: np.ndarray, first_step: int, dones: np.ndarray
) -> TrajectoryBatch:
    offsets = offsets_of(lengths)
    last = offsets[1:] - 1
    return TrajectoryBatch(
        {"obs": of.obs, "actions": of.actions, "rewards": of.rewards},
        offsets,
        {
            "episode_id": np.stack([np.zeros_like(episodes), episodes], 1).astype(np.uint64),
            "first_step": np.full(len(episodes), first_step, np.int64),
            "terminated": dones[last],
            "truncated": np.zeros(len(episodes), np.bool_),
            "final_obs": of.next_obs[last],
        },
    )


def rayrl_buffer(space: Box, capacity: int, *, prioritized: bool = False) -> ReplayBuffer:
    """An empty buffer."""
    options = ReplayOptions(
        partitions={"online": PartitionOptions(capacity=capacity)},
        priorities=PriorityOptions() if prioritized else None,
    )
    return ReplayBuffer(Spaces(space, ACTIONS), EnvInfo(id="rayrl/Benchmark-v0"), options)
