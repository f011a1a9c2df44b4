import itertools

import numpy as np
import pytest
from scipy.stats import ttest_ind

from rayrl.comparison.significance import holm, welch


def test_welch_by_hand():
    # Means 2 and 5; variances 1 and 4, so s² = 1/3 + 4/3 = 5/3, ν = (5/3)² / ((1/3)²/2 + (4/3)²/2) = 50/17.
    # t(0.975, 50/17) = 3.2178; 3.2178 · √(5/3) = 4.154.
    estimate, p_value = welch(np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 7.0]))
    assert (estimate.value, estimate.n) == (-3.0, 3)
    assert (estimate.low, estimate.high) == pytest.approx((-7.154, 1.154), abs=2e-3)
    assert p_value == pytest.approx(0.1046, abs=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_scipys(seed):
    draw = np.random.default_rng(seed)
    x, y = draw.normal(0.5, 1.0, 5), draw.normal(0.0, 3.0, 8)
    estimate, p_value = welch(x, y)
    other = ttest_ind(x, y, equal_var=False)
    assert p_value == pytest.approx(other.pvalue)
    bounds = other.confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((bounds.low, bounds.high))
    assert estimate.n == 5


def test_seeds_that_are_all_alike():
    same, p_same = welch(np.full(5, 0.1), np.full(7, 0.1))
    assert ((same.value, same.low, same.high), p_same) == ((0.0, 0.0, 0.0), 1.0)
    apart, p_apart = welch(np.full(5, 0.9), np.full(5, 0.1))
    assert (apart.value, apart.low, apart.high) == pytest.approx((0.8, 0.8, 0.8))
    assert p_apart == 0.0


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5: 4 · 0.01 = 0.04; 3 · 0.02 = 0.06; 2 · 0.03 = 0.06; 0.5.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    # 3 · 0.04 = 0.12 is more than 2 · 0.045 = 0.09, which may not be less; no p-value is above 1.
    assert holm([0.045, 0.04, 0.9]) == pytest.approx([0.12, 0.12, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_alike_candidates_are_seldom_told_apart_however_tasks_hang_together(correlation):
    # Six candidates that are the same, 5 seeds each: in 95 of 100 comparisons none of 15 pairs differs.
    draw, wrong, trials = np.random.default_rng(0), 0, 300
    for _ in range(trials):
        scores = np.sqrt(correlation) * draw.normal(size=(6, 5, 1))
        scores = scores + np.sqrt(1 - correlation) * draw.normal(size=(6, 5, 3))
        pairs = itertools.combinations(scores.mean(axis=2), 2)
        wrong += min(holm([welch(x, y)[1] for x, y in pairs])) <= 0.05
    assert wrong / trials <= 0.05


def test_a_difference_that_is_large_is_found():
    draw = np.random.default_rng(1)
    candidates = [draw.normal(mean, 0.05, 5) for mean in (0.1, 0.1, 0.1, 0.7, 0.7, 0.7)]
    pairs = [*itertools.combinations(range(6), 2)]
    p_values = holm([welch(candidates[i], candidates[j])[1] for i, j in pairs])
    assert {pair for pair, p in zip(pairs, p_values, strict=True) if p <= 0.05} == {
        (i, j) for i in range(3) for j in range(3, 6)
    }
