import numpy as np
import pytest

from rayrl.comparison.profiles import profile, score_distribution
from rayrl.errors import DataError


def test_the_distribution_by_hand():
    # Above 0.5: of task 1 one of two runs, of task 2 none: (½ + 0) / 2. At the threshold is not above it.
    scores = np.array([[0.2, 0.5], [0.8, 0.1]])
    shares = score_distribution(scores, np.array([0.0, 0.15, 0.5, 0.8]))
    np.testing.assert_allclose(shares, [1.0, 0.75, 0.25, 0.0])


def test_the_area_under_the_profile_is_the_mean_score():
    # ∫₀¹ F(τ) dτ = mean(x) for scores in [0, 1].
    scores = np.random.default_rng(0).uniform(size=(6, 4))
    thresholds = np.linspace(0, 1, 20_001)
    area = np.trapezoid(score_distribution(scores, thresholds), thresholds)
    assert area == pytest.approx(scores.mean(), abs=1e-4)


def test_the_band_holds_the_share_and_is_none_where_all_runs_agree():
    scores = np.array([[0.2], [0.5], [0.8]])
    found = profile(scores, np.array([0.0, 0.4, 0.9]), random=np.random.default_rng(0))
    np.testing.assert_allclose(found.share, [1.0, 2 / 3, 0.0])
    np.testing.assert_allclose(found.low[[0, 2]], [1.0, 0.0])
    np.testing.assert_allclose(found.high[[0, 2]], [1.0, 0.0])
    # Two of three runs are above: none is in a draw with 1/27 = 3.7 %, more than 2.5 %.
    assert (found.low[1], found.high[1]) == (0.0, 1.0)


def test_two_runs_are_refused():
    with pytest.raises(DataError, match="2 training seeds"):
        profile(np.zeros((2, 1)), np.zeros(1), random=np.random.default_rng(0))
