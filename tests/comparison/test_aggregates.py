import numpy as np
import pytest
from scipy.stats import trim_mean

from rayrl.comparison.aggregates import AGGREGATES, iqm, mean, median, optimality_gap

# Two runs (rows) on three tasks (columns).
SCORES = np.array([[0.0, 0.4, 2.0], [0.2, 0.6, 0.5]])


def test_the_interquartile_mean_by_hand():
    # Sorted: 0, 0.2, 0.4, 0.5, 0.6, 2. ⌊6 / 4⌋ = 1 is cut at each end: (0.2 + 0.4 + 0.5 + 0.6) / 4 = 0.425.
    assert iqm(SCORES) == pytest.approx(0.425)


def test_of_three_runs_of_one_task_nothing_is_trimmed():
    # ⌊3 / 4⌋ = 0, so it is the mean.
    assert iqm(np.array([[0.0], [0.3], [0.9]])) == pytest.approx(0.4)


def test_mean_and_median_are_of_the_tasks_means():
    # The tasks' means over runs are 0.1, 0.5 and 1.25.
    assert mean(SCORES) == pytest.approx(1.85 / 3)
    assert median(SCORES) == pytest.approx(0.5)


def test_the_optimality_gap_counts_nothing_beyond_one():
    # min(x, 1): 0, 0.4, 1, 0.2, 0.6, 0.5, which sum to 2.7; 1 − 2.7 / 6 = 0.55.
    assert optimality_gap(SCORES) == pytest.approx(0.55)
    assert optimality_gap(np.array([[1.0, 5.0]])) == 0.0


@pytest.mark.parametrize("runs", [3, 4, 5, 10])
def test_the_interquartile_mean_is_scipys_trimmed_mean(runs):
    scores = np.random.default_rng(runs).normal(size=(runs, 3))
    assert iqm(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None))


@pytest.mark.parametrize("name", AGGREGATES)
def test_resamples_are_aggregated_each_by_itself(name):
    drawn = np.random.default_rng(0).normal(size=(4, 5, 3))
    together = AGGREGATES[name](drawn)
    assert together.shape == (4,)
    np.testing.assert_allclose(together, [AGGREGATES[name](each) for each in drawn])
