"""The same replay in numpy alone and in other libraries, each with one thread.

All hold the same columns: observation, next observation, action, reward and whether the episode ended. A
sample copies each of them together, as numpy arrays or as the tensors that the library gives.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Box

from tests.benchmarks.replay_data import ACTIONS, Steps

ALPHA, BETA = 0.6, 0.4


class Peer(Protocol):
    """A ring buffer of a capacity for observations of a space."""

    def add(self, of: Steps) -> object:
        """Appends steps."""

    def sample(self, n: int) -> object:
        """Draws n steps with replacement."""


class Numpy:
    """The limit: five arrays, and ``numpy.take`` from each."""

    def __init__(self, space: Box, capacity: int) -> None:
        self.rng = np.random.default_rng(0)
        self.capacity, self.added = capacity, 0
        self.arrays = [
            np.zeros((capacity, *space.shape), space.dtype),
            np.zeros((capacity, *space.shape), space.dtype),
            np.zeros((capacity, *ACTIONS.shape), np.float32),
            np.zeros(capacity, np.float32),
            np.zeros(capacity, np.bool_),
        ]

    def add(self, of: Steps) -> None:
        given = (of.obs, of.next_obs, of.actions, of.rewards, of.dones)
        start = self.added % self.capacity
        fits = min(len(of), self.capacity - start)
        for array, values in zip(self.arrays, given, strict=True):
            array[start : start + fits] = values[:fits]
            array[: len(of) - fits] = values[fits:]
        self.added += len(of)

    def sample(self, n: int) -> list[np.ndarray]:
        return self.take(self.rng.integers(0, min(self.added, self.capacity), n))

    def take(self, rows: np.ndarray) -> list[np.ndarray]:
        return [np.take(array, rows, 0) for array in self.arrays]


class PrioritizedNumpy(Numpy):
    """The limit with priorities: sums of them that are never changed, and a binary search."""

    def sample(self, n: int) -> list[np.ndarray]:
        if not hasattr(self, "sums"):
            self.sums = np.cumsum(np.ones(min(self.added, self.capacity)))
        found = np.searchsorted(self.sums, self.rng.random(n) * self.sums[-1], side="right")
        weights = (self.sums[found] - self.sums[found - 1]) ** -BETA
        return [*self.take(found), weights]


class Cpprb:
    """cpprb's ReplayBuffer, or with priorities its PrioritizedReplayBuffer."""

    def __init__(self, space: Box, capacity: int, *, prioritized: bool = False) -> None:
        import cpprb

        columns = {
            "obs": {"shape": space.shape, "dtype": space.dtype},
            "next_obs": {"shape": space.shape, "dtype": space.dtype},
            "act": {"shape": ACTIONS.shape},
            "rew": {},
            "done": {},
        }
        self.options: dict[str, Any] = {"beta": BETA} if prioritized else {}
        self.buffer: Any = (
            cpprb.PrioritizedReplayBuffer(capacity, columns, alpha=ALPHA)
            if prioritized
            else cpprb.ReplayBuffer(capacity, columns)
        )

    def add(self, of: Steps) -> None:
        self.buffer.add(obs=of.obs, next_obs=of.next_obs, act=of.actions, rew=of.rewards, done=of.dones)

    def sample(self, n: int) -> Any:
        return self.buffer.sample(n, **self.options)

    def update(self, indexes: np.ndarray, priorities: np.ndarray) -> None:
        self.buffer.update_priorities(indexes, priorities)


class SB3:
    """Stable-Baselines3's ReplayBuffer of as many environments as steps are added at a time."""

    def __init__(self, space: Box, capacity: int, num_envs: int = 1) -> None:
        from stable_baselines3.common.buffers import ReplayBuffer

        self.buffer = ReplayBuffer(
            capacity, space, ACTIONS, device="cpu", n_envs=num_envs, handle_timeout_termination=False
        )

    def fill(self, of: Steps) -> None:
        """As many steps as it has room for, without a call for each."""
        buffer: Any = self.buffer
        for name, values in (
            ("observations", of.obs),
            ("next_observations", of.next_obs),
            ("actions", of.actions),
            ("rewards", of.rewards),
            ("dones", of.dones),
        ):
            getattr(buffer, name)[:, 0] = values
        buffer.full = True

    def add(self, of: Steps) -> None:
        self.buffer.add(of.obs, of.next_obs, of.actions, of.rewards, of.dones, [])

    def sample(self, n: int) -> Any:
        return self.buffer.sample(n)

    def save(self, path: Path) -> None:
        from stable_baselines3.common.save_util import save_to_pkl

        save_to_pkl(path, self.buffer)

    def save_synced(self, path: Path) -> None:
        """Pickles the buffer, and waits until it is on the disk."""
        self.save(path)
        with path.open("rb") as file:
            os.fsync(file.fileno())

    @staticmethod
    def load(path: Path) -> Any:
        from stable_baselines3.common.save_util import load_from_pkl

        return load_from_pkl(path)


class TorchRL:
    """TorchRL's TensorDictReplayBuffer on a LazyTensorStorage.

    Its prioritized sampler is left out: in the wheel of 0.14.1 it does not load with PyTorch 2.13.
    """

    def __init__(self, space: Box, capacity: int, batch: int, *, slices: int | None = None) -> None:
        from torchrl.data import LazyTensorStorage, SliceSampler, TensorDictReplayBuffer

        # Slices end where `next/done` is true.
        sampler = {} if slices is None else {"sampler": SliceSampler(slice_len=slices, cache_values=True)}
        self.buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(capacity), batch_size=batch, **sampler)

    def add(self, of: Steps) -> None:
        self.buffer.extend(tensordict(of))

    def sample(self, n: int) -> Any:
        return self.buffer.sample()


class RayTorchRL:
    """TorchRL's RayReplayBuffer: the same storage in a Ray actor."""

    def __init__(self, capacity: int, batch: int) -> None:
        from torchrl.data import LazyTensorStorage, RayReplayBuffer, TensorDictReplayBuffer

        self.buffer = RayReplayBuffer(
            replay_buffer_cls=TensorDictReplayBuffer,
            storage=partial(LazyTensorStorage, capacity),
            batch_size=batch,
            remote_config={"num_cpus": 0},
        )

    def add(self, of: Steps) -> None:
        self.buffer.extend(tensordict(of))

    def sample(self, n: int) -> Any:
        return self.buffer.sample()


def tensordict(of: Steps) -> Any:
    """The steps as TorchRL takes them; nothing is copied."""
    import torch
    from tensordict import TensorDict

    n = [len(of)]
    after = {
        "obs": torch.from_numpy(of.next_obs),
        "reward": torch.from_numpy(of.rewards[:, None]),
        "done": torch.from_numpy(of.dones[:, None]),
    }
    given = {"obs": torch.from_numpy(of.obs), "action": torch.from_numpy(of.actions)}
    return TensorDict({**given, "next": TensorDict(after, n)}, n)


class RLlib:
    """RLlib's EpisodeReplayBuffer, or with priorities its PrioritizedEpisodeReplayBuffer."""

    def __init__(self, space: Box, capacity: int, *, prioritized: bool = False) -> None:
        from ray.rllib.utils.replay_buffers.episode_replay_buffer import EpisodeReplayBuffer
        from ray.rllib.utils.replay_buffers.prioritized_episode_buffer import PrioritizedEpisodeReplayBuffer

        self.options: dict[str, Any] = {"beta": BETA} if prioritized else {"sample_episodes": True}
        self.buffer: Any = (
            PrioritizedEpisodeReplayBuffer(capacity=capacity, alpha=ALPHA)
            if prioritized
            else EpisodeReplayBuffer(capacity=capacity)
        )

    def add(self, of: Steps) -> None:
        self.add_episodes(self.episodes(of))

    def add_episodes(self, episodes: list[Any]) -> None:
        self.buffer.add(episodes)

    @staticmethod
    def episodes(of: Steps) -> list[Any]:
        """The steps as RLlib takes them: whole episodes, whose arrays are finished."""
        from ray.rllib.env.single_agent_episode import SingleAgentEpisode

        made = []
        for start in range(0, len(of), of.length):
            one = of.part(start, start + of.length)
            episode = SingleAgentEpisode(
                observation_space=of.space,
                action_space=ACTIONS,
                observations=[*one.obs, one.next_obs[-1]],
                actions=list(one.actions),
                rewards=one.rewards.tolist(),
                terminated=True,
                len_lookback_buffer=0,
            )
            made.append(episode.to_numpy())
        return made

    def sample(self, n: int) -> Any:
        """The columns, stacked, as a learner needs them."""
        episodes = self.buffer.sample(n, n_step=1, **self.options)
        return {
            "obs": np.stack([episode.get_observations(0) for episode in episodes]),
            "next_obs": np.stack([episode.get_observations(-1) for episode in episodes]),
            "actions": np.stack([episode.get_actions(-1) for episode in episodes]),
            "rewards": np.array([episode.get_rewards(-1) for episode in episodes], np.float32),
            "dones": np.array([episode.is_done for episode in episodes]),
        }

    def sample_windows(self, n: int, length: int) -> Any:
        return self.buffer.sample(batch_size_B=n, batch_length_T=length)

    def update(self, priorities: np.ndarray) -> None:
        """Of the steps drawn last."""
        self.buffer.update_priorities(priorities)
