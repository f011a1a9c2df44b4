"""Weights against numbers worked out by hand."""

import numpy as np
import pytest

from rayrl.algorithms.bc.weighting import balanced_weights
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
