import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from rayrl.comparison.bootstrap import interval
from rayrl.comparison.improvement import probability_of_improvement


def test_the_probability_by_hand():
    # Task 1: of 2 · 3 pairs 3 > 1, 3 > 2 win, 3 = 3 ties, 1 = 1 ties, 1 < 2, 1 < 3 lose: (2 + ½ + ½) / 6 = ½.
    # Task 2: all win: 1. The mean over the tasks is ¾.
    x = np.array([[3.0, 9.0], [1.0, 8.0]])
    y = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]])
    assert probability_of_improvement(x, y) == pytest.approx(0.75)
    assert probability_of_improvement(y, x) == pytest.approx(0.25)


def test_a_task_on_which_all_are_equal_counts_half():
    assert probability_of_improvement(np.ones((3, 1)), np.ones((4, 1))) == 0.5
    # Beside one that is always won: (½ + 1) / 2.
    x, y = np.array([[1.0, 1.0]] * 3), np.array([[1.0, 0.0]] * 3)
    assert probability_of_improvement(x, y) == 0.75


def test_a_half_is_exact_over_any_number_of_tasks():
    # Of each task, x wins as often as y; added as fractions, ninths do not make a half.
    for tasks in range(1, 30):
        x, y = np.tile([[0.0], [1.0], [2.0]], tasks), np.tile([[2.0], [1.0], [0.0]], tasks)
        x[:, ::2], y[:, ::2] = x[::-1, ::2], y[::-1, ::2]
        assert probability_of_improvement(x, y) == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_it_is_mann_and_whitneys_statistic(seed):
    draw = np.random.default_rng(seed)
    x, y = draw.integers(0, 4, (7, 1)).astype(float), draw.integers(0, 4, (5, 1)).astype(float)
    statistic = mannwhitneyu(x[:, 0], y[:, 0]).statistic
    assert probability_of_improvement(x, y) == pytest.approx(statistic / 35)


def test_its_interval():
    draw = np.random.default_rng(0)
    x, y = draw.normal(1.0, 1.0, (8, 3)), draw.normal(0.0, 1.0, (8, 3))
    estimate = interval(probability_of_improvement, x, y, random=draw, resamples=2_000)
    assert estimate.value == pytest.approx(probability_of_improvement(x, y))
    assert 0.5 < estimate.low < estimate.value < estimate.high <= 1.0
