"""On-policiness scores: when they are computed, of which policy version they are."""

from typing import Any

import numpy as np
import pytest

from rayrl.errors import DataError
from rayrl.experience.batch import TrajectoryBatch
from tests.experience.replay.building import OPEN, TERMINATED, batch, buffer


class Agent:
    """Gives step s of an episode the log-likelihood -s, and counts the trajectories that it was shown."""

    def __init__(self) -> None:
        self.shown = 0

    def __call__(self, of: TrajectoryBatch) -> Any:
        self.shown += of.num_trajectories
        shown: Any = of.columns["actions"]
        return -(shown % 1000).astype(np.float32)


def test_scores_are_means_and_kept_with_their_version() -> None:
    of, agent = buffer(), Agent()
    of.add(batch([(0, 0, 5, TERMINATED), (1, 0, 3, OPEN)]))
    assert of.score(agent, policy_version=10) == 2
    stats = of.get_trajectory_statistics()
    assert (stats["num_scored_trajectories"], stats["mean_on_policiness_score"]) == (2, -1.5)
    assert (stats["min_on_policiness_score"], stats["max_on_policiness_score"]) == (-2, -1)
    assert of.score(agent, policy_version=10) == 0
    assert of.score(agent, policy_version=12, max_age=2) == 0
    assert of.score(agent, policy_version=13, max_age=2) == 2


def test_a_trajectory_that_goes_on_is_scored_anew() -> None:
    of, agent = buffer(), Agent()
    of.add(batch([(0, 0, 5, TERMINATED), (1, 0, 3, OPEN)]))
    of.score(agent, policy_version=1)
    of.add(batch([(1, 3, 2, OPEN)]))
    assert of.score(agent, policy_version=1) == 1
    assert of.get_trajectory_statistics()["min_on_policiness_score"] == -2


def test_without_a_version_all_are_computed_each_time() -> None:
    of, agent = buffer(), Agent()
    of.add(batch([(e, 0, 5, TERMINATED) for e in range(7)]))
    for _ in range(2):
        of.sample_by_on_policiness(4, agent)
    assert agent.shown == 14


def test_only_those_drawn_from_are_scored() -> None:
    of, agent = buffer(val_fraction=0.5), Agent()
    of.add(batch([(e, 0, 5, TERMINATED) for e in range(40)]))
    drawn = of.sample_by_on_policiness(16, agent, split="val")
    stats = of.get_trajectory_statistics()
    assert agent.shown == stats["num_scored_trajectories"] == stats["num_val_trajectories"]
    assert drawn.obs.shape == (16, 3, 2)


def test_an_agent_that_gives_something_else() -> None:
    of = buffer()
    of.add(batch([(0, 0, 5, TERMINATED)]))
    with pytest.raises(DataError, match=r"agent: gave values of shape \(1,\) for 5 steps"):
        of.score(lambda one: np.zeros(1))
    with pytest.raises(DataError, match="agent: gave nan"):
        of.score(lambda one: np.full(5, np.nan))
    assert np.isnan(of.get_trajectory_statistics()["mean_on_policiness_score"])


def test_an_empty_buffer_has_all_statistics() -> None:
    stats = buffer().get_trajectory_statistics()
    counts = ("num_trajectories", "num_train_trajectories", "num_val_trajectories", "num_steps")
    assert all(stats[name] == 0 for name in counts)
    assert np.isnan(stats["mean_length"])
