"""Weights against numbers worked out by hand."""

import numpy as np
import pytest

from rayrl.algorithms.bc.weighting import ReturnWeights, balanced_weights, discounted_returns
from rayrl.errors import DataError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Ragged


def batch(names=("a", "a", "b")):
    # Trajectories of 2, 1 and 1 steps: N = 4.
    columns = {"actions": np.array([0, 0, 1, 0])}
    trajectory_columns = {} if names is None else {"demonstrator": Ragged.from_text(names)}
    return TrajectoryBatch(columns, np.array([0, 2, 3, 4]), trajectory_columns)


def test_each_demonstrator_weighs_the_same():
    # S = 2; a has 3 steps: 4 / (2 · 3) = 2/3; b has 1: 4 / (2 · 1) = 2
    np.testing.assert_allclose(balanced_weights(batch(), ["demonstrator"]), [2 / 3, 2 / 3, 2 / 3, 2])


def test_each_action_weighs_the_same():
    # 0 three times: 2/3; 1 once: 2
    np.testing.assert_allclose(balanced_weights(batch(), ["action"]), [2 / 3, 2 / 3, 2, 2 / 3])


def test_each_action_of_each_demonstrator_weighs_the_same():
    # Three groups occur: (a, 0) twice: 4 / (3 · 2) = 2/3; (a, 1) and (b, 0) once: 4/3
    weights = balanced_weights(batch(), ["demonstrator", "action"])
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 4 / 3, 4 / 3])
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1)


def test_actions_of_several_entries_are_groups_as_a_whole():
    columns = {"actions": np.array([[0, 1], [0, 1], [1, 1]])}
    made = TrajectoryBatch(columns, np.array([0, 3]), {})
    # [0, 1] twice: 3 / (2 · 2); [1, 1] once: 3 / 2
    np.testing.assert_allclose(balanced_weights(made, ["action"]), [0.75, 0.75, 1.5])


def test_without_names_demonstrators_cannot_be_balanced():
    with pytest.raises(DataError, match="demonstrator: is needed to balance demonstrators"):
        balanced_weights(batch(names=None), ["demonstrator"])


def rewarded(*trajectories, terminated):
    """Trajectories of the given rewards."""
    offsets = np.cumsum([0, *(len(rewards) for rewards in trajectories)])
    columns = {"actions": np.zeros(offsets[-1], np.int64), "rewards": np.concatenate(trajectories)}
    return TrajectoryBatch(columns, offsets, {"terminated": np.array(terminated)})


def test_returns_of_what_was_cut_go_on_as_they_went():
    batch = rewarded([1.0, 2.0], [1.0, 2.0], terminated=[True, False])
    # Terminated: 1 + 0.5 · 2 = 2, and 2. Cut: 2 / (1 − 0.25), and 2 / (1 − 0.5), as if 2 came for ever.
    np.testing.assert_allclose(discounted_returns(batch, 0.5), [2, 2, 2 / 0.75, 4])


def test_steps_that_return_more_weigh_more():
    train = rewarded([0.0], [2.0], terminated=[True, True])
    held_out = rewarded([1.0], [2.0], terminated=[True, True])
    weights, of_held_out = ReturnWeights(beta=1.0, gamma=0.5).of(train, held_out)
    # Mean 1 and spread 1: z = ∓1, so e^∓1 by their mean (0.3679 + 2.7183) / 2; held out z = 0 and 1.
    mean = (np.exp(-1) + np.exp(1)) / 2
    np.testing.assert_allclose(weights, [np.exp(-1) / mean, np.exp(1) / mean], rtol=1e-6)
    np.testing.assert_allclose(of_held_out, [1 / mean, np.exp(1) / mean], rtol=1e-6)
    assert weights.dtype == np.float32


def test_no_step_weighs_more_than_20_before_scaling():
    batch = rewarded([0.0], [2.0], terminated=[True, True])
    weights, _ = ReturnWeights(beta=9.0, gamma=0.5).of(batch, batch)
    # e^−9 and, instead of e^9, 20.
    assert weights[1] / weights[0] == pytest.approx(20 / np.exp(-9), rel=1e-5)


def test_where_all_return_the_same_all_weigh_the_same():
    batch = rewarded([1.0], [1.0], terminated=[True, True])
    np.testing.assert_allclose(ReturnWeights(beta=3.0, gamma=0.5).of(batch, batch)[0], [1, 1])
