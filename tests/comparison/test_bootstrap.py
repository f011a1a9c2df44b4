import itertools

import numpy as np
import pytest

from rayrl.comparison.aggregates import iqm, mean
from rayrl.comparison.bootstrap import bootstrap, interval, require_runs, resample
from rayrl.errors import DataError


def random(seed=0):
    return np.random.default_rng(seed)


def test_runs_are_drawn_with_their_scores_on_all_tasks():
    # Run n on task m scores 10 m + n, which tells where a draw comes from.
    scores = 10.0 * np.arange(3) + np.arange(4)[:, None]
    drawn = resample(scores, 2_000, random())
    assert drawn.shape == (2_000, 4, 3)
    assert (drawn // 10 == np.arange(3)).all()
    runs = drawn % 10
    assert (runs == runs[..., :1]).all()
    shares = [(runs[..., 0] == run).mean() for run in range(4)]
    np.testing.assert_allclose(shares, [0.25] * 4, atol=0.02)


def test_the_distribution_of_three_runs_by_hand():
    # Of the 27 equally likely draws from {0, 0, 3}, the sum is 3 k with k of binomial(3, 1/3):
    # the mean is 0, 1, 2, 3 with 8/27, 12/27, 6/27, 1/27.
    draws = bootstrap(mean, np.array([[0.0], [0.0], [3.0]]), random=random(), resamples=20_000)
    shares = [(draws == value).mean() for value in range(4)]
    np.testing.assert_allclose(shares, [8 / 27, 12 / 27, 6 / 27, 1 / 27], atol=0.01)
    # The percentiles 2.5 and 97.5 are then those of that distribution: 0, and 3, which has 3.7 %.
    estimate = interval(mean, np.array([[0.0], [0.0], [3.0]]), random=random())
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (1.0, 0.0, 3.0, 3)


def test_the_distribution_over_two_tasks_by_hand():
    # The three seeds have 0.5, 1 and 3 in the mean over tasks; each of their 27 draws is as likely.
    scores = np.array([[0.0, 1.0], [2.0, 0.0], [2.0, 4.0]])
    exact = [np.mean(draw) for draw in itertools.product([0.5, 1.0, 3.0], repeat=3)]
    draws = bootstrap(mean, scores, random=random(1), resamples=20_000)
    values, counts = np.unique(np.round(exact, 9), return_counts=True)
    drawn, times = np.unique(np.round(draws, 9), return_counts=True)
    np.testing.assert_array_equal(drawn, values)
    np.testing.assert_allclose(times / len(draws), counts / 27, atol=0.01)


def test_tasks_that_say_the_same_narrow_no_interval():
    one = np.random.default_rng(5).normal(size=(5, 1))
    alone = interval(mean, one, random=random(1))
    repeated = interval(mean, np.repeat(one, 4, axis=1), random=random(1))
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))


def test_the_same_generator_gives_the_same_interval_and_another_another():
    scores = np.random.default_rng(5).normal(size=(8, 3))
    first = interval(iqm, scores, random=random(1))
    assert interval(iqm, scores, random=random(1)) == first
    assert interval(iqm, scores, random=random(2)) != first


def test_the_global_generator_has_no_part_in_it():
    scores = np.random.default_rng(5).normal(size=(5, 3))
    np.random.seed(0)
    first = bootstrap(iqm, scores, random=random(1), resamples=50)
    np.random.seed(1)
    np.testing.assert_array_equal(bootstrap(iqm, scores, random=random(1), resamples=50), first)


def test_candidates_of_different_numbers_of_runs():
    fives, twos = np.full((3, 2), 5.0), np.full((4, 2), 2.0)
    draws = bootstrap(lambda x, y: mean(x) - mean(y), fives, twos, random=random(), resamples=7)
    np.testing.assert_array_equal(draws, np.full(7, 3.0))


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_too_few_runs_are_refused(runs):
    with pytest.raises(DataError, match=rf"{runs} training seeds?: .* at least 3") as caught:
        require_runs(runs, where="seeds")
    assert "add seeds" in str(caught.value)
    with pytest.raises(DataError, match="at least 3"):
        interval(mean, np.zeros((runs, 2)), random=random())


def test_unknown_scores_are_refused():
    with pytest.raises(DataError, match=r"\(3, 1\), 1 of them not finite"):
        interval(mean, np.array([[0.0], [np.nan], [1.0]]), random=random())


def coverage(runs, tasks, correlation, trials=400):
    """How often the interval of the mean holds the true one, 0; tasks of a seed have that correlation."""
    hits = 0
    for trial in range(trials):
        draw = np.random.default_rng((runs, trial))
        scores = np.sqrt(correlation) * draw.normal(size=(runs, 1))
        scores = scores + np.sqrt(1 - correlation) * draw.normal(size=(runs, tasks))
        estimate = interval(mean, scores, random=draw, resamples=400)
        hits += estimate.low <= 0.0 <= estimate.high
    return hits / trials


@pytest.mark.parametrize(("runs", "documented"), [(3, 0.74), (5, 0.83), (20, 0.93)])
@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_intervals_cover_as_often_as_the_documentation_says_however_tasks_hang_together(
    runs, documented, correlation
):
    # The bootstrap's spread is √((n − 1) / n) of the right one: with few runs it covers less than 95 %. Of
    # tasks that were drawn apart, three that say the same would cover about 54 % with 3 runs.
    assert coverage(runs, 3, correlation) == pytest.approx(documented, abs=0.05)
