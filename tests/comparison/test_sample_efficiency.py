import numpy as np
import pytest

from rayrl.comparison.sample_efficiency import mean_height

STEPS, SCORES = np.array([0.0, 100.0, 200.0, 400.0]), np.array([0.0, 0.5, 1.0, 1.0])


def test_the_area_by_hand():
    # ½ · 100 · 0.5 + 100 · 0.75 + 200 · 1 = 300, of 400.
    assert mean_height(STEPS, SCORES, 0, 400) == pytest.approx(0.75)


def test_between_its_points_a_curve_is_a_straight_line():
    # At 50 it is 0.25: from 50 to 100 the mean is 0.375, from 100 to 150 it is 0.625.
    assert mean_height(STEPS, SCORES, 50, 150) == pytest.approx(0.5)


def test_who_scores_one_throughout_has_one():
    assert mean_height(np.array([0.0, 10.0]), np.ones(2), 0, 10) == 1.0


@pytest.mark.parametrize(("start", "end"), [(-1, 100), (0, 401), (100, 100)])
def test_a_curve_that_does_not_reach_over_it_is_not_known(start, end):
    assert np.isnan(mean_height(STEPS, SCORES, start, end))


def test_no_curve_is_not_known():
    assert np.isnan(mean_height(np.empty(0), np.empty(0), 0, 1))
