"""Environments whose observations and rewards tell where they come from, and an oracle for batches of them.

An observation names the seed of its sub-environment, its episode and its step. Episode e lasts
``1 + (seed + 2 e) % 5`` steps; even ones terminate, odd ones are truncated. Step t is rewarded with
``100 e + t + 1``. The only right action is ``(seed + 3 e + 5 t) % 7``; any other raises.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Text
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import ACTIONS, ColumnSpec
from rayrl.experience.ragged import Ragged

KINDS = ("vector", "image", "dict", "static", "text")
MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)
SPACES: dict[str, gym.Space] = {
    "vector": Box(0, np.inf, (3,), np.float64),
    "image": Box(0, 255, (2, 3, 1), np.uint8),
    "dict": Dict({"at": Dict({"seed": Discrete(2**32), "episode": Discrete(1000)}), "step": Box(0, 99, ())}),
    "static": Dict(
        {"at": Dict({"seed": Discrete(2**32), "episode": Discrete(1000)}), "step": Box(0, 99, ())}
    ),
    "text": Text(20, charset="0123456789:"),
}


def static_of(kind: str) -> tuple[str, ...]:
    """The parts that stay the same within an episode, where they are declared so."""
    return ("at/seed", "at/episode") if kind == "static" else ()


def shown_seed(kind: str, seed: Any) -> Any:
    """What an observation tells of a seed: a pixel cannot hold all of it."""
    return seed % 251 if kind == "image" else seed


def length_of(seed: Any, episode: Any) -> Any:
    return 1 + (seed + 2 * episode) % 5


def action_at(seed: Any, episode: Any, step: Any) -> Any:
    return (seed + 3 * episode + 5 * step) % 7


def reward_of(episode: Any, step: Any) -> Any:
    return 100 * episode + step + 1


def success_of(episode: int) -> float:
    return [1.0, 0.0, np.nan][episode % 3]


def encode(kind: str, seed: int, episode: int, step: int) -> Any:
    if kind == "vector":
        return np.array([seed, episode, step], np.float64)
    if kind == "image":
        return np.array([[seed, episode, step], [0, 0, 7]], np.uint8)[:, :, None]
    if kind in ("dict", "static"):
        at = {"seed": np.int64(seed), "episode": np.int64(episode)}
        return {"at": at, "step": np.array(step, np.float32)}
    return f"{seed}:{episode}:{step}"


def decode(columns: dict[str, Any], prefix: str = "obs") -> NDArray[np.int64]:
    """(rows, 3): seed, episode and step."""
    if f"{prefix}/step" in columns:
        parts = [columns[f"{prefix}/{name}"] for name in ("at/seed", "at/episode", "step")]
        return np.stack(parts, 1).astype(np.int64)
    column = columns[prefix]
    texts = column.to_text() if isinstance(column, Ragged) else column if column.dtype == object else None
    if texts is not None:
        return np.array([[int(number) for number in text.split(":")] for text in texts]).reshape(-1, 3)
    return (column if column.ndim == 2 else column[:, 0, :, 0]).astype(np.int64)


class CountingEnv(gym.Env[Any, Any]):
    """One sub-environment; one that ``reuses`` writes all observations into one array, as simulators do."""

    def __init__(self, kind: str = "vector", success: Any = bool, reuses: bool = True) -> None:
        self.observation_space, self.action_space = SPACES[kind], Discrete(7)
        self.static_observations = static_of(kind)
        self._kind, self._success, self._reuses = kind, success, reuses
        self._shown = encode(kind, 0, 0, 0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.seed, self.episode = shown_seed(self._kind, seed), -1
        self.episode += 1
        self.at = 0
        # A reset is no end of an episode: this success is none.
        return self._show(), {} if self._success is None else {"is_success": self._success(True)}

    def step(self, action: Any) -> Any:
        assert self.at < length_of(self.seed, self.episode), "stepped after the end"
        assert action == action_at(self.seed, self.episode, self.at), "not the action for this observation"
        self.at += 1
        over = self.at == length_of(self.seed, self.episode)
        info = {}
        if over and self._success is not None and self.episode % 3 < 2:
            info["is_success"] = self._success(self.episode % 3 == 0)
        terminated = over and self.episode % 2 == 0
        reward = float(reward_of(self.episode, self.at - 1))
        return self._show(), reward, terminated, over and not terminated, info

    def _show(self) -> Any:
        now = encode(self._kind, self.seed, self.episode, self.at)
        if self._reuses and isinstance(now, np.ndarray):
            self._shown[:] = now
            return self._shown
        return now


class CountingVectorEnv(VectorEnv[Any, Any, Any]):
    """The same, natively vectorized: it hands out its own arrays, and writes into them again."""

    def __init__(self, num_envs: int, mode: AutoresetMode, kind: str = "vector") -> None:
        self.num_envs, self._kind = num_envs, kind
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = SPACES[kind], Discrete(7)
        self.static_observations = static_of(kind)
        self.observation_space = batch_space(SPACES[kind], num_envs)
        self.action_space = batch_space(Discrete(7), num_envs)
        self.seed, self.episode, self.at = np.zeros((3, num_envs), np.int64)
        self.over = np.zeros(num_envs, np.bool_)
        self._shown = self._encoded()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        slots = np.ones(self.num_envs, np.bool_) if options is None else options["reset_mask"]
        if seed is not None:
            self.seed[:] = shown_seed(self._kind, seed + np.arange(self.num_envs))
            self.episode[:] = -1
        self._begin(slots)
        return self._show(), {}

    def step(self, actions: Any) -> Any:
        resetting = self.over.copy()
        mode = self.metadata["autoreset_mode"]
        assert mode is AutoresetMode.NEXT_STEP or not resetting.any(), "stepped after the end"
        right = action_at(self.seed, self.episode, self.at)
        assert (resetting | (np.asarray(actions) == right)).all(), "not the actions for these observations"
        rewards = np.where(resetting, 0.0, reward_of(self.episode, self.at))
        self._begin(resetting)
        self.at += ~resetting
        self.over = self.at == length_of(self.seed, self.episode)
        over = self.over.copy()
        terminated = over & (self.episode % 2 == 0)
        known = over & (self.episode % 3 < 2)
        info = {"is_success": (self.episode % 3 == 0).astype(np.float64), "_is_success": known}
        if mode is AutoresetMode.SAME_STEP:
            info = {"final_info": info, "final_obs": self._encoded()}
            self._begin(over)
        return self._show(), rewards, terminated, over & ~terminated, info

    def _begin(self, slots: NDArray[np.bool_]) -> None:
        self.episode[slots] += 1
        self.at[slots] = 0
        self.over[slots] = False

    def _encoded(self) -> Any:
        each = [encode(self._kind, *now) for now in zip(self.seed, self.episode, self.at, strict=True)]
        if self._kind in ("dict", "static"):
            at = {key: np.array([one["at"][key] for one in each]) for key in ("seed", "episode")}
            return {"at": at, "step": np.array([one["step"] for one in each])}
        return tuple(each) if self._kind == "text" else np.array(each)

    def _show(self) -> Any:
        now = self._encoded()
        if isinstance(now, np.ndarray):
            self._shown[:] = now
            return self._shown
        return now


class RightActions:
    """Gives the action that the observation asks for, and keeps a column and adds one."""

    columns = {"tag": ColumnSpec(np.dtype(np.int64), (2,))}  # noqa: RUF012
    memory_size = 0

    def begin(self, num_envs: int, generator: np.random.Generator, memory: np.ndarray) -> None:
        self.generator = generator

    def act(self, env: VectorEnv, buffer: Any, idle: NDArray[np.bool_] | None) -> Any:
        t = buffer.length
        now = decode({name: array[t] for name, array in buffer.observations.items()} | buffer.static.now)
        actions = action_at(*now.T)
        buffer.steps["tag"][t] = now[:, 1:]
        if idle is not None:
            actions = np.where(idle, 0, actions)
        return actions, actions

    def finish(self, columns: dict[str, Any]) -> dict[str, Any]:
        return {"twice": 2 * columns[ACTIONS]}


def sync_env(num_envs: int, mode: AutoresetMode, **config: Any) -> SyncVectorEnv:
    # Gymnasium itself loses the last observation where it resets such an environment in the same step.
    config["reuses"] = mode is not AutoresetMode.SAME_STEP
    return SyncVectorEnv([lambda: CountingEnv(**config)] * num_envs, copy=False, autoreset_mode=mode)


Part = tuple[int, int, int, int]
"""A trajectory: seed, episode, first step, number of steps."""


def check_batch(batch: TrajectoryBatch) -> list[Part]:
    """Checks every row and trajectory by what its observations tell, and returns that."""
    batch.validate()
    batch = batch.with_static_parts_by_step()
    columns: Any = batch.trajectory_columns
    rows, finals = decode(batch.columns), decode(columns, "final_obs")
    rewards, actions, tag, twice = (batch.columns[name] for name in ("rewards", "actions", "tag", "twice"))
    np.testing.assert_array_equal(rewards, reward_of(rows[:, 1], rows[:, 2]))
    np.testing.assert_array_equal(actions, action_at(*rows.T))
    np.testing.assert_array_equal(tag, rows[:, 1:])
    np.testing.assert_array_equal(twice, 2 * actions)
    parts = parts_of(batch)
    for i, (seed, episode, first, steps) in enumerate(parts):
        assert finals[i].tolist() == [seed, episode, first + steps]
        over = first + steps == length_of(seed, episode)
        assert columns["terminated"][i] == (over and episode % 2 == 0)
        assert columns["truncated"][i] == (over and episode % 2 == 1)
        assert columns["first_step"][i] == first
        so_far = sum(reward_of(episode, t) for t in range(first + steps))
        assert columns["return_so_far"][i] == so_far
        np.testing.assert_equal(columns["episode_return"][i], float(so_far) if over else np.nan)
        np.testing.assert_equal(columns["episode_success"][i], success_of(episode) if over else np.nan)
    return parts


def parts_of(batch: TrajectoryBatch) -> list[Part]:
    """What the observations tell of each trajectory, whose steps are checked to follow each other."""
    rows, parts = decode(batch.with_static_parts_by_step().columns).tolist(), []
    for start, stop in pairwise(batch.offsets.tolist()):
        seed, episode, first = rows[start]
        assert rows[start:stop] == [[seed, episode, first + t] for t in range(stop - start)]
        parts.append((seed, episode, first, stop - start))
    return parts


def steps_of(parts: Sequence[Part]) -> dict[int, list[tuple[int, int]]]:
    """(episode, step) of all rows of each sub-environment, by seed, in the order of the batches."""
    steps: dict[int, list[tuple[int, int]]] = {}
    for seed, episode, first, count in parts:
        steps.setdefault(seed, []).extend((episode, first + t) for t in range(count))
    return steps


def uninterrupted(seed: int, count: int) -> list[tuple[int, int]]:
    """(episode, step) of the first ``count`` steps of a sub-environment."""
    steps: list[tuple[int, int]] = []
    episode = 0
    while len(steps) < count:
        steps += [(episode, t) for t in range(length_of(seed, episode))]
        episode += 1
    return steps[:count]
