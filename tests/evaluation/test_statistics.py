import math

import numpy as np
import pytest

from rayrl.evaluation.statistics import (
    Estimate,
    bootstrap_means,
    mean_over_episodes,
    mean_over_runs,
    ratio_over_runs,
    summarize,
)


def test_bootstrap_means_have_the_mean_and_the_standard_error_of_the_samples():
    samples = np.random.default_rng(1).exponential(3.0, (400, 1))
    means = bootstrap_means(samples)
    # The standard error of the mean under resampling is the population standard deviation / √n.
    assert means.mean() == pytest.approx(samples.mean(), abs=0.01)
    assert means.std() == pytest.approx(samples.std() / 20, rel=0.03)


def test_columns_are_resampled_together():
    column = np.random.default_rng(2).normal(size=50)
    means = bootstrap_means(np.column_stack([column, 2 * column + 1]), resamples=100)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0] + 1)
    assert means[:, 0].std() > 0


def test_the_interval_of_two_samples_is_their_range():
    # Means of two draws from {0, 1} are 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4.
    assert mean_over_episodes([0.0, 1.0]) == Estimate(value=0.5, low=0.0, high=1.0, n=2)


def test_the_bootstrap_interval_agrees_with_the_normal_one_for_many_samples():
    values = np.random.default_rng(3).normal(10, 2, 500)
    half = 1.96 * values.std(ddof=1) / math.sqrt(500)
    estimate = mean_over_episodes(values)
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.02)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.02)
    assert mean_over_episodes(values) == estimate


def test_unknown_values_do_not_count():
    assert mean_over_episodes([4.0, math.nan]) == Estimate(value=4.0, low=None, high=None, n=1)
    assert mean_over_episodes([math.nan]) == Estimate(value=None, low=None, high=None, n=0)
    assert mean_over_runs([math.nan, 4.0]) == Estimate(value=4.0, low=None, high=None, n=1)


def test_the_t_interval_of_three_runs():
    # s = 1, t(0.975, 2) = 4.30265, so the half width is 4.30265 / √3 = 2.48414.
    estimate = mean_over_runs([1.0, 2.0, 3.0])
    assert (estimate.value, estimate.n) == (2.0, 3)
    assert estimate.low == pytest.approx(2 - 2.48414, abs=1e-5)
    assert estimate.high == pytest.approx(2 + 2.48414, abs=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "sign"), [(1, 2, 1), (-2, -1, -1), (-1, 1, 0), (0, 1, 0), (None, None, 0)]
)
def test_an_estimate_has_a_sign_where_its_interval_excludes_zero(low, high, sign):
    assert Estimate(value=1.0, low=low, high=high, n=3).sign == sign


def test_a_summary_by_hand():
    # Mean 4, median 3, squared deviations 9 + 1 + 16 = 26, over n − 1 = 2: 13.
    summary = summarize([1.0, 3.0, 8.0, math.nan])
    assert (summary.n, summary.mean, summary.median) == (3, 4.0, 3.0)
    assert summary.std == pytest.approx(math.sqrt(13))
    assert 1.0 <= summary.low < 4.0 < summary.high <= 8.0
    assert summarize([math.nan]).model_dump() == {
        "n": 0, "mean": None, "low": None, "high": None, "std": None, "median": None,
    }  # fmt: skip


def test_a_ratio_of_equal_denominators_has_students_interval():
    # 3 / 10 ± 4.30265 · 1 / √3 / 10
    found = ratio_over_runs([2.0, 3.0, 4.0], [10.0, 10.0, 10.0])
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - 0.248414, abs=1e-6)
    assert found.high == pytest.approx(0.3 + 0.248414, abs=1e-6)


def test_at_the_ends_of_fiellers_interval_the_ratio_is_just_not_refuted():
    a, b = np.array([2.0, 3.0, 4.0, 3.5]), np.array([10.0, 9.0, 12.0, 11.0])
    found = ratio_over_runs(a, b)
    for ratio, t in ((found.low, 3.182446), (found.high, -3.182446)):
        rest = a - ratio * b
        assert rest.mean() / (rest.std(ddof=1) / 2) == pytest.approx(t, abs=1e-5)


def test_proportional_numbers_have_a_certain_ratio():
    found = ratio_over_runs([1.0, 2.0, 3.0], [4.0, 8.0, 12.0])
    # The denominators 4, 8, 12 vary too much to tell their mean from 0: 8 < 4.30265 · 4 / √3.
    assert (found.value, found.low) == (0.25, None)
    found = ratio_over_runs([2.0, 2.2, 2.4], [8.0, 8.8, 9.6])
    assert (found.value, found.low, found.high) == (pytest.approx(0.25),) * 3


def test_few_runs_have_a_ratio_without_an_interval():
    assert ratio_over_runs([], []).n == 0
    assert (ratio_over_runs([1.0], [2.0]).value, ratio_over_runs([1.0], [2.0]).low) == (0.5, None)
