"""The numbers of demonstrations, and how much there is of one part of a dataset of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.rollout.demo_plan import Part


class Tally:
    """Counts trajectories.

    Attributes:
        steps: those of all.
        trajectories: how many there are.
    """

    def __init__(self, action_space: gym.Space[Any]) -> None:
        self.steps = 0
        self.trajectories = 0
        self._returns: list[float] = []
        self._actions: np.ndarray | None = None
        if isinstance(action_space, gym.spaces.Discrete):
            self._first_action = int(action_space.start)
            self._actions = np.zeros(int(action_space.n), np.int64)

    def add(self, batch: TrajectoryBatch) -> None:
        """Counts trajectories that became part of a dataset."""
        columns: Mapping[str, Any] = batch.trajectory_columns
        self.steps += batch.num_steps
        self.trajectories += batch.num_trajectories
        over = columns[c.TERMINATED] | columns[c.TRUNCATED]
        self._returns += columns[c.EPISODE_RETURN][over].tolist()
        if self._actions is not None:
            taken: Any = batch.columns[c.ACTIONS]
            self._actions += np.bincount(taken - self._first_action, minlength=len(self._actions))

    @staticmethod
    def statistics(tallies: Iterable[Tally]) -> dict[str, Any]:
        """Of several: steps, finished episodes, their mean return, steps of each Discrete action."""
        tallies = list(tallies)
        returns = [value for tally in tallies for value in tally._returns]
        counts = [tally._actions for tally in tallies if tally._actions is not None]
        return {
            "steps": sum(tally.steps for tally in tallies),
            "episodes": len(returns),
            "return_mean": float(np.mean(returns)) if returns else None,
            "actions": np.sum(counts, axis=0).tolist() if counts else None,
        }


class DemoShare(Tally):
    """What was collected of one part.

    Args:
        part: who, and in which scenario.
        action_space: of the environment.
    """

    def __init__(self, part: Part, action_space: gym.Space[Any]) -> None:
        super().__init__(action_space)
        self.part = part

    @property
    def left(self) -> int:
        """Steps that are missing."""
        return self.part.steps - self.steps


def statistics_of(shares: Iterable[DemoShare]) -> dict[str, dict[str, Any]]:
    """The statistics of each demonstrator; ``scenarios`` has the same for each of its scenarios."""
    by_name: dict[str, list[DemoShare]] = {}
    for share in shares:
        by_name.setdefault(share.part.demonstrator, []).append(share)
    return {
        name: Tally.statistics(of_name)
        | {"scenarios": {share.part.scenario: Tally.statistics([share]) for share in of_name}}
        for name, of_name in by_name.items()
    }


def never_taken(statistics: Mapping[str, Mapping[str, Any]]) -> list[int]:
    """The Discrete actions, counted from 0, that no demonstrator ever took."""
    counts = [facts["actions"] for facts in statistics.values() if facts.get("actions") is not None]
    return np.flatnonzero(np.sum(counts, axis=0) == 0).tolist() if counts else []
