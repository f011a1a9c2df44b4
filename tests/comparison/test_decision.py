import numpy as np
import pytest

from rayrl.comparison.criteria import Criterion
from rayrl.comparison.decision import known_criteria, pareto_front, ranks, share_of_firsts, totals, utility

SUCCESS, LATENCY, SAFETY = Criterion.success, Criterion.latency, Criterion.safety


def test_a_share_counts_as_it_is():
    np.testing.assert_allclose(utility(SUCCESS, np.array([0.9, 0.45, -0.1]), unscaled=False), [0.9, 0.45, 0])


def test_scores_beyond_one_are_divided_by_the_best():
    np.testing.assert_allclose(utility(SUCCESS, np.array([1.25, 1.0, 0.5]), unscaled=False), [1, 0.8, 0.4])


def test_returns_go_from_the_worst_to_the_best():
    np.testing.assert_allclose(utility(SUCCESS, np.array([-90.0, -30, -10]), unscaled=True), [0, 0.75, 1])
    np.testing.assert_allclose(utility(SUCCESS, np.array([7.0, 7.0]), unscaled=True), [1, 1])


def test_a_cost_is_the_lowest_divided_by_ones_own():
    np.testing.assert_allclose(utility(LATENCY, np.array([2.0, 1.0, 8.0]), unscaled=False), [0.5, 1, 0.125])
    # Beside what costs nothing, what costs something counts nothing; where nothing costs, all are alike.
    np.testing.assert_allclose(utility(LATENCY, np.array([0.0, 3.0]), unscaled=False), [1, 0])
    np.testing.assert_allclose(utility(LATENCY, np.zeros(2), unscaled=False), [1, 1])


def test_the_total_by_hand():
    # (3 · 0.9 + 1 · 0.5) / 4 = 0.8, (3 · 0.6 + 1 · 1) / 4 = 0.7
    utilities = {SUCCESS: np.array([0.9, 0.6]), LATENCY: np.array([0.5, 1.0])}
    np.testing.assert_allclose(totals(utilities, {SUCCESS: 3.0, LATENCY: 1.0}), [0.8, 0.7])


def test_what_is_not_known_of_every_candidate_does_not_count():
    nan = float("nan")
    values = {
        SUCCESS: [np.array([0.1, nan]), np.array([0.2])],
        LATENCY: [np.array([nan, nan]), np.array([3.0])],
    }
    assert known_criteria(values) == [SUCCESS]


def share(*candidates):
    values = {SUCCESS: [np.array(each) for each in candidates]}
    return share_of_firsts(values, {SUCCESS: 1.0}, random=np.random.default_rng(0))


def test_who_is_always_ahead_always_comes_first():
    np.testing.assert_array_equal(share([0.8, 0.9, 0.7], [0.1, 0.2, 0.3]), [1, 0])


def test_who_ties_shares():
    np.testing.assert_array_equal(share([0.5] * 3, [0.5] * 3), [0.5, 0.5])


def test_the_share_by_hand():
    # One candidate always has ½. Of the other's draws of three from {0, 0, 1}, the mean is above ½ where two
    # or three of them are 1: with probability 3 · (1/3)² · 2/3 + (1/3)³ = 7/27.
    assert share([0.5] * 3, [0.0, 0.0, 1.0])[1] == pytest.approx(7 / 27, abs=0.01)


def test_what_belongs_to_a_seed_is_drawn_with_it():
    # Each seed has the same sum of both, whichever are drawn: the totals are equal in every draw.
    success, safety = [np.array([0.2, 0.5, 0.8])] * 2, [np.array([0.8, 0.5, 0.2])] * 2
    weights = {SUCCESS: 1.0, SAFETY: 1.0}
    values = {SUCCESS: success, SAFETY: safety}
    found = share_of_firsts(values, weights, random=np.random.default_rng(0))
    np.testing.assert_allclose(found, [0.5, 0.5])


def test_a_seed_of_which_a_cost_is_not_known_counts_with_the_mean_of_the_others():
    latency = [np.array([2.0, np.nan, np.nan]), np.array([np.nan, 1.0, np.nan])]
    found = share_of_firsts({LATENCY: latency}, {LATENCY: 1.0}, random=np.random.default_rng(0), resamples=50)
    np.testing.assert_array_equal(found, [0, 1])


def test_equal_totals_have_equal_ranks():
    assert ranks(np.array([0.3, 0.9, 0.3, 0.1])) == [2, 1, 2, 4]


def test_the_front_by_hand():
    # (0.9, 5) and (0.5, 1) stand; (0.8, 6) is beaten by the first, (0.5, 2) by the second; twins both stand.
    quality, cost = np.array([0.9, 0.5, 0.8, 0.5, 0.5]), np.array([5, 1, 6, 2, 1])
    assert pareto_front(np.column_stack([quality, -cost])) == [0, 1, 4]


def test_a_third_criterion_keeps_who_is_best_in_it():
    # (0.5, −2) is beaten by (0.5, −1) in two things, and stands by the third.
    assert pareto_front(np.array([[0.5, -1, 0.2], [0.5, -2, 0.3]])) == [0, 1]
