"""One part of a dataset of demonstrations: how much of it there is, and its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.rollout.demo_plan import Part


class DemoShare:
    """What was collected of one part.

    Attributes:
        part: who, and in which scenario.
        left: steps that are missing.
        trajectories: those that are there.
    """

    def __init__(self, part: Part, action_space: gym.Space[Any]) -> None:
        self.part = part
        self.left = part.steps
        self.trajectories = 0
        self._returns: list[float] = []
        self._actions: np.ndarray | None = None
        if isinstance(action_space, gym.spaces.Discrete):
            self._first_action = int(action_space.start)
            self._actions = np.zeros(int(action_space.n), np.int64)

    def add(self, batch: TrajectoryBatch) -> None:
        """Counts trajectories that became part of the dataset."""
        columns: Mapping[str, Any] = batch.trajectory_columns
        self.left -= batch.num_steps
        self.trajectories += batch.num_trajectories
        over = columns[c.TERMINATED] | columns[c.TRUNCATED]
        self._returns += columns[c.EPISODE_RETURN][over].tolist()
        if self._actions is not None:
            taken: Any = batch.columns[c.ACTIONS]
            self._actions += np.bincount(taken - self._first_action, minlength=len(self._actions))

    @staticmethod
    def statistics(shares: Iterable[DemoShare]) -> dict[str, Any]:
        """Of several parts: steps, finished episodes, their mean return, steps of each Discrete action."""
        shares = list(shares)
        returns = [value for share in shares for value in share._returns]
        counts = [share._actions for share in shares if share._actions is not None]
        return {
            "steps": sum(share.part.steps for share in shares),
            "episodes": len(returns),
            "return_mean": float(np.mean(returns)) if returns else None,
            "actions": np.sum(counts, axis=0).tolist() if counts else None,
        }


def statistics_of(shares: Iterable[DemoShare]) -> dict[str, dict[str, Any]]:
    """The statistics of each demonstrator; ``scenarios`` has the same for each of its scenarios."""
    by_name: dict[str, list[DemoShare]] = {}
    for share in shares:
        by_name.setdefault(share.part.demonstrator, []).append(share)
    return {
        name: DemoShare.statistics(of_name)
        | {"scenarios": {share.part.scenario: DemoShare.statistics([share]) for share in of_name}}
        for name, of_name in by_name.items()
    }


def never_taken(statistics: Mapping[str, Mapping[str, Any]]) -> list[int]:
    """The Discrete actions, counted from 0, that no demonstrator ever took."""
    counts = [facts["actions"] for facts in statistics.values() if facts.get("actions") is not None]
    return np.flatnonzero(np.sum(counts, axis=0) == 0).tolist() if counts else []
