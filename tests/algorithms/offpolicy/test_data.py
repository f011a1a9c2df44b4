"""Importance weights of minibatches that are made of draws from two partitions, by hand."""

from typing import Any

import numpy as np
import pytest

from rayrl.algorithms.offpolicy.data import ReplayData
from rayrl.algorithms.sac import SACConfig
from rayrl.experience.replay import PartitionOptions, PriorityOptions, ReplayBuffer, ReplayOptions, Where
from rayrl.experience.replay.samplers import make_sampler
from tests.algorithms.offpolicy.transitions import BOX, build, transitions
from tests.experience.replay.building import ENV, SPACES, TERMINATED, batch


def mixed(beta: float) -> ReplayData:
    """Two minibatches of 150 steps from three online ones and 50 steps from two offline ones."""
    partitions = {
        "online": PartitionOptions(capacity=10),
        "offline": PartitionOptions(capacity=None, eviction="fixed"),
    }
    options = ReplayOptions(partitions=partitions, priorities=PriorityOptions(alpha=1.0, epsilon=0.0))
    of = ReplayBuffer(SPACES, ENV, options)
    of.add(batch([(0, 0, 3, TERMINATED)]))
    of.add(batch([(1, 0, 2, TERMINATED)]), partition="offline")
    drawn = of.sample_transitions(200, sampler="uniform")
    shown: Any = drawn.columns["actions"]
    priorities = {0: 1.0, 1: 1.0, 2: 2.0, 1000: 1.0, 1001: 3.0}
    of.update_priorities(drawn.row_ids, np.array([priorities[one] for one in shown.tolist()]))
    draws = [
        of.draw_transitions(
            [rows], sampler=make_sampler("prioritized", beta=beta), where=Where(partition=partition)
        )[0]
        for partition, rows in (("online", 300), ("offline", 100))
    ]
    return ReplayData(draws=[draws], due=np.zeros(2, np.int64))


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_importance_weights_correct_priorities_and_leave_the_shares_as_they_are(beta: float) -> None:
    sample = mixed(beta).fetch()
    shown: Any = sample.columns["actions"]
    # Online P is 1/4, 1/4, 1/2 of N = 3; offline 1/4, 3/4 of N = 2; the weight is (N P)^-β.
    expected = {0: 4 / 3, 1: 4 / 3, 2: 2 / 3, 1000: 2.0, 1001: 2 / 3}
    weights = np.array([expected[one] ** beta for one in shown.tolist()])
    np.testing.assert_allclose(sample.weights, weights, rtol=1e-5)
    assert set(shown.tolist()) == set(expected)
    assert [(part >= 1000).sum() for part in shown.reshape(2, 200)] == [50, 50]


def test_the_learner_scales_them_by_the_largest() -> None:
    learner = build(SACConfig(), BOX)
    given = transitions(4, BOX, weights=np.array([4 / 3, 2 / 3, 2.0, 2 / 3], np.float32))
    scaled = learner.prepare(given)["weights"]
    np.testing.assert_allclose(scaled, [2 / 3, 1 / 3, 1.0, 1 / 3], rtol=1e-6)
