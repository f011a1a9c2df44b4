import math

import numpy as np
import pytest

from rayrl.algorithms.recent_episodes import RecentEpisodes
from rayrl.rollout.episodes import FinishedEpisodes


def episodes(returns, successes=None):
    n = len(returns)
    given = np.full(n, np.nan) if successes is None else np.array(successes)
    return FinishedEpisodes(np.array(returns, np.float64), np.arange(1, n + 1), given.astype(np.float32))


def test_before_the_first_episode_the_mean_is_unknown():
    metrics = RecentEpisodes(3).metrics()
    assert math.isnan(metrics["episode_return_mean"])


def test_means_are_over_the_newest_episodes_of_all_batches():
    recent = RecentEpisodes(3)
    recent.add(episodes([100.0, 1.0]))
    recent.add(episodes([2.0, 6.0]))
    # 100 is the oldest of four, and three are kept: (1 + 2 + 6) / 3, of lengths 2, 1 and 2.
    assert recent.metrics() == pytest.approx(
        {
            "episode_return_mean": 3.0,
            "episode_return_min": 1.0,
            "episode_return_max": 6.0,
            "episode_len_mean": 5 / 3,
            "episode_len_min": 1.0,
            "episode_len_max": 2.0,
        }
    )
    assert recent.total == 4


def test_the_success_rate_is_over_the_episodes_that_tell():
    recent = RecentEpisodes(10)
    recent.add(episodes([0.0, 0.0, 0.0], [1.0, np.nan, 0.0]))
    assert recent.metrics()["success_rate"] == 0.5


def test_the_kept_episodes_come_back():
    recent, other = RecentEpisodes(2), RecentEpisodes(2)
    recent.add(episodes([1.0, 2.0, 3.0], [1.0, 0.0, 1.0]))
    other.set_state(recent.get_state())
    assert (other.total, other.metrics()) == (3, recent.metrics())
