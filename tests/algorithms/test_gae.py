import numpy as np
import pytest

from rayrl.algorithms.gae import generalized_advantages


def advantages(rewards, values, final_values, terminated, offsets):
    return generalized_advantages(
        np.array(rewards, np.float32),
        np.array(values, np.float32),
        np.array(final_values, np.float32),
        np.array(terminated),
        np.array(offsets),
        gamma=0.5,
        lambda_=0.5,
    )


def test_termination_truncation_and_a_cut_in_one_batch():
    # γ = 0.5, γλ = 0.25;  δ_t = r_t + 0.5 V(s_{t+1}) - V(s_t);  A_t = δ_t + 0.25 A_{t+1}
    #
    # Terminated after three steps: nothing follows, whatever the value of the last observation (NaN here).
    #   A_2 = δ_2 = 3 + 0.5·0   - 1.5 = 1.5
    #   A_1 = (2 + 0.5·1.5 - 1.0) + 0.25·1.5   = 1.75 + 0.375   = 2.125
    #   A_0 = (1 + 0.5·1.0 - 0.5) + 0.25·2.125 = 1.0  + 0.53125 = 1.53125
    # Truncated after two: the final observation is worth 8.
    #   A_1 = δ_1 = 1 + 0.5·8 - 4 = 1
    #   A_0 = (1 + 0.5·4 - 2) + 0.25·1 = 1.25
    # Cut by the batch's end after one: the same with a final value of 2.
    #   A_0 = 0 + 0.5·2 - 3 = -2
    result = advantages(
        rewards=[1, 2, 3, 1, 1, 0],
        values=[0.5, 1.0, 1.5, 2, 4, 3],
        final_values=[np.nan, 8, 2],
        terminated=[True, False, False],
        offsets=[0, 3, 5, 6],
    )
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.array([1.53125, 2.125, 1.5, 1.25, 1, -2], np.float32))


def test_a_trajectory_cut_in_two_bootstraps_at_the_cut():
    # The second step alone: 1 + 0.5·8 - 4 = 1. The first, cut from it, no longer sees its reward but the
    # value of where it led to: 1 + 0.5·4 - 2 = 1, and not the 1.25 of the whole trajectory.
    result = advantages([1, 1], [2, 4], [4, 8], [False, False], [0, 1, 2])
    np.testing.assert_array_equal(result, [1, 1])


def test_without_trajectories_there_are_no_advantages():
    assert len(advantages([], [], [], np.empty(0, np.bool_), [0])) == 0


def test_lambda_one_gives_returns_minus_values():
    # G_0 = 1 + 0.5·(2 + 0.5·4) = 3
    result = generalized_advantages(
        np.array([1, 2], np.float32),
        np.array([5, 7], np.float32),
        np.array([4], np.float32),
        np.array([False]),
        np.array([0, 2]),
        gamma=0.5,
        lambda_=1.0,
    )
    assert result == pytest.approx([3 - 5, 4 - 7])
