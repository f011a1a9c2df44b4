import numpy as np
import pytest

from rayrl.errors import DataError
from rayrl.evaluation.comparison import (
    are_paired,
    normalized_score,
    paired_difference,
    paired_values,
    share_weighted,
)
from rayrl.evaluation.statistics import Estimate
from tests.evaluation.results import result_of


def test_differences_are_paired_by_episode():
    # The levels of the episodes differ a lot, the difference is always 2.
    a, b = result_of([102.0, 7.0, 52.0]), result_of([100.0, 5.0, 50.0])
    assert paired_difference(a, b) == Estimate(value=2.0, low=2.0, high=2.0, n=3)
    assert paired_difference(b, a).value == -2.0


def test_an_episode_in_which_one_is_unknown_does_not_count():
    a, b = result_of([0, 0], latency=[3.0, np.nan]), result_of([0, 0], latency=[1.0, 5.0])
    assert paired_difference(a, b, "latency") == Estimate(value=2.0, low=None, high=None, n=1)


@pytest.mark.parametrize("other", [{"seeds": [0, 2]}, {"env": "Other-v0"}])
def test_results_of_other_episodes_are_not_compared(other):
    with pytest.raises(DataError, match="not of the same episodes"):
        paired_values([result_of([1.0, 2.0]), result_of([1.0, 2.0], **other)], "episode_return")


def test_an_unknown_metric_is_named():
    with pytest.raises(DataError, match="'latency'; there are episode_return"):
        paired_difference(result_of([1.0]), result_of([1.0]), "latency")


def test_the_score_by_hand():
    # Means 6, 2 and 10: (6 − 2) / (10 − 2) = 1/2.
    policy, random, reference = result_of([5.0, 7.0]), result_of([1.0, 3.0]), result_of([9.0, 11.0])
    score = normalized_score(policy, random=random, reference=reference)
    # Every resample keeps the three together, so each gives the same ratio.
    assert score == Estimate(value=0.5, low=0.5, high=0.5, n=2)
    assert normalized_score(random, random=random, reference=reference).value == 0.0
    assert normalized_score(reference, random=random, reference=reference).value == 1.0


def test_the_scores_interval_agrees_with_the_delta_method():
    draw = np.random.default_rng(0)
    level = draw.normal(0, 50, 300)
    returns = [level + shift + draw.normal(0, 4, 300) for shift in (15, 0, 20)]
    policy, random, reference = map(result_of, returns)
    score = normalized_score(policy, random=random, reference=reference)
    # Var[a/b] ≈ Var[aᵢ − score bᵢ] / (n b²), for a = policy − random and b = reference − random.
    a, b = returns[0] - returns[1], returns[2] - returns[1]
    half = 1.96 * (a - score.value * b).std() / np.sqrt(300) / b.mean()
    assert score.low == pytest.approx(score.value - half, abs=0.1 * half)
    assert score.high == pytest.approx(score.value + half, abs=0.1 * half)


def test_no_interval_where_the_references_lead_is_in_doubt():
    score = normalized_score(
        result_of([1.0, 1.0]), random=result_of([0.0, 4.0]), reference=result_of([6.0, 2.0])
    )
    assert (score.value, score.low, score.high) == (-0.5, None, None)


def test_a_reference_that_is_no_better_than_random_is_refused():
    with pytest.raises(DataError, match="no better than that of random"):
        normalized_score(result_of([1.0]), random=result_of([2.0]), reference=result_of([2.0]))


def test_the_share_weighted_score():
    # (3 · 1 + 1 · 0.6) / 4 = 0.9
    scores = {"least_outstanding": 1.0, "join_shortest_work": 0.6, "random": 0.0}
    assert share_weighted(scores, {"least_outstanding": 3, "join_shortest_work": 1}) == pytest.approx(0.9)
    with pytest.raises(DataError, match="oracle"):
        share_weighted(scores, {"oracle": 1})


def test_runs_with_copies_of_one_file_of_levels_are_paired():
    def of(path):
        result = result_of([1.0], seeds=[0])
        env = result.env.model_copy(update={"config": {"level_file": path}})
        return result.model_copy(update={"env": env, "levels": ("a",)})

    first = of("/runs/one/inputs/0123456789ab/small.json")
    assert are_paired([first, of("/elsewhere/two/inputs/0123456789ab/small.json")])
    assert not are_paired([first, of("/runs/one/inputs/ba9876543210/small.json")])
