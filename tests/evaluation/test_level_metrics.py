"""Metrics of levels, by numbers worked out by hand."""

import numpy as np
import pytest

from rayrl.evaluation.level_metrics import failure_causes, level_metrics, mean_level_metrics, step_limits
from rayrl.evaluation.result import join_categories
from rayrl.evaluation.suites import AS_TRAINED
from tests.evaluation.results import result_of

NAN = float("nan")


def played(success, steps, *, limit=100, **metrics):
    """A result of episodes with these successes and steps."""
    result = result_of(
        [1.0] * len(success), **({"episode_length": steps, "episode_success": success} | metrics)
    )
    return result.model_copy(update={"max_steps": limit})


def values(estimates):
    return {name: estimate.value for name, estimate in estimates.items()}


def test_the_metrics_of_one_category():
    # Two successes, one of them with a detour, a death after 10 steps, and a timeout.
    result = played(
        [1, 1, 0, 0],
        [20, 40, 10, 100],
        optimal_steps=[20, 30, 50, 60],
        death=[0, 0, 1, 0],
        timeout=[0, 0, 0, 1],
    )
    found = level_metrics(result)
    assert values(found.categories[AS_TRAINED]) == pytest.approx(
        {
            "success_rate": 2 / 4,
            "steps": 170 / 4,
            "return": 1.0,
            "efficiency": (2 / 4) / (42.5 / 100),
            "spl": (1 + 30 / 40) / 4,
            "path_optimality": (1 + 30 / 40) / 2,
            "safety": 3 / 4,
            "failed_by_death": 1 / 4,
            "failed_by_timeout": 1 / 4,
        }
    )
    assert found.micro == found.macro == found.categories[AS_TRAINED]
    assert found.micro["path_optimality"].n == 2


def test_an_early_death_raises_efficiency_and_not_the_others():
    late, early = (
        values(level_metrics(played([1, 0], [50, end], optimal_steps=[50, 50], death=[0, 1])).micro)
        for end in (100, 2)
    )
    assert early.pop("efficiency") > 1.9 > late.pop("efficiency")
    assert early.pop("steps") < late.pop("steps")
    assert early == late


def test_one_that_raised_is_a_failure_of_all_its_steps():
    result = played([1, 0], [50, NAN], error=[0, 1], death=[0, NAN], optimal_steps=[50, NAN], timeout=[0, 0])
    result = result.model_copy(update={"metrics": result.metrics | {"episode_return": (4.0, None)}})
    assert values(level_metrics(result).micro) == pytest.approx(
        {
            "success_rate": 0.5,
            "steps": 50,
            "return": 4.0,
            "efficiency": 0.5 / 0.75,
            "spl": 0.5,
            "path_optimality": 1.0,
            "safety": 1.0,
            "failed_by_error": 0.5,
            "failed_by_death": 0.0,
            "failed_by_timeout": 0.0,
        }
    )


def test_micro_counts_episodes_and_macro_categories():
    whole = join_categories(
        {
            AS_TRAINED: played([0, 0], [100, 100]),
            "small": played([1, 1], [10, 10]),
            "large": played([1, 0, 0, 0, 0, 0], [50, 100, 100, 100, 100, 100]),
        }
    )
    found = level_metrics(whole)
    assert list(found.categories) == [AS_TRAINED, "small", "large"]
    assert found.categories["small"]["success_rate"].value == 1.0
    # as_trained is in neither of the two.
    assert found.micro["success_rate"].value == pytest.approx(3 / 8)
    assert found.macro["success_rate"].value == pytest.approx((1 + 1 / 6) / 2)
    assert found.micro["efficiency"].value == pytest.approx((3 / 8) / (570 / 8 / 100))
    assert found.macro["efficiency"].value == pytest.approx((1 / 0.1 + (1 / 6) / (550 / 6 / 100)) / 2)
    assert found.macro["success_rate"].n == 8


def test_a_category_without_a_success_has_no_path_and_leaves_the_macro_mean():
    none, some = (played(success, [10, 20], optimal_steps=[10, 10]) for success in ([0, 0], [1, 1]))
    found = level_metrics(join_categories({"hard": none, "easy": some}))
    assert found.categories["hard"]["path_optimality"].value is None
    assert found.macro["path_optimality"].value == pytest.approx((1 + 0.5) / 2)
    assert found.macro["spl"].value == pytest.approx((0 + 0.75) / 2)


def test_the_interval_of_a_success_rate_is_that_of_the_binomial():
    found = level_metrics(played([1] * 50 + [0] * 50, [10.0] * 100)).micro["success_rate"]
    half = 1.96 * np.sqrt(0.25 / 100)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.01)


def test_the_macro_interval_draws_categories_independently():
    one = [1.0] * 50 + [0.0] * 50
    parts = {name: played(one, [10.0] * 100) for name in ("a", "b", "c", "d")}
    found = level_metrics(join_categories(parts)).macro["success_rate"]
    half = 1.96 * np.sqrt(0.25 / 400)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_a_single_episode_has_no_interval():
    found = level_metrics(played([1], [10])).micro["success_rate"]
    assert (found.value, found.low, found.high) == (1.0, None, None)


def test_what_the_environment_does_not_tell_is_left_out():
    assert level_metrics(result_of([1.0, 2.0])) is None
    found = level_metrics(played([1, 0], [5, 6], limit=None)).micro
    assert list(found) == ["success_rate", "steps", "return", "failed_by_other"]


def test_each_failure_has_one_cause():
    causes = {"death": [0, 1, 1, 0, 0], "error": [0, 1, 0, 0, 0], "stuck": [0, 0, 1, 1, 0]}
    result = played([1, 0, 0, 0, 0], [1] * 5, **causes)
    assert failure_causes(result) == [None, "error", "death", "stuck", "other"]
    shares = [value for name, value in values(level_metrics(result).micro).items() if "failed_by" in name]
    assert shares == pytest.approx([0.2] * 4)


def test_the_step_limit_is_the_lower_one_of_each_episode():
    result = played([1, 0, 0], [10, 40, NAN], limit=50, max_steps=[40, 80, NAN])
    assert step_limits(result).tolist() == [40, 50, 50]
    assert values(level_metrics(result).micro)["efficiency"] == pytest.approx(
        (1 / 3) / ((10 / 40 + 40 / 50 + 1) / 3)
    )
    env = result.env.model_copy(update={"config": {"max_steps": 30}})
    assert step_limits(result.model_copy(update={"env": env})).tolist() == [30, 30, 30]
    unlimited = played([1], [1], limit=None)
    assert np.isnan(step_limits(unlimited)).all()
    assert "efficiency" not in level_metrics(unlimited).micro


def test_of_several_policies_it_is_the_mean_of_theirs():
    way = {"optimal_steps": [10, 10, 20, 20]}
    first = played([1, 1, 0, 0], [10, 20, 100, 30], death=[0, 0, 0, 1], **way)
    second = played([0, 0, 0, 0], [100, 100, 100, 100], death=[0, 0, 0, 0], **way)
    found = mean_level_metrics({"small": [first, second]})
    assert values(found.micro) == pytest.approx(
        {
            "success_rate": (2 / 4 + 0) / 2,
            "steps": (160 / 4 + 100) / 2,
            "return": 1.0,
            "efficiency": ((2 / 4) / (40 / 100) + 0) / 2,
            "spl": ((1 + 1 / 2) / 4 + 0) / 2,
            # the second has no success, and so no path
            "path_optimality": (1 + 1 / 2) / 2,
            "safety": (3 / 4 + 1) / 2,
            "failed_by_death": (1 / 4 + 0) / 2,
            "failed_by_other": (1 / 4 + 1) / 2,
        }
    )
    assert found.micro["success_rate"].n == 4
    assert found.micro["path_optimality"].n == 2


def test_the_same_episodes_are_drawn_for_all_policies():
    # Each succeeds where the other does not: their mean is a half whatever is drawn.
    one, other = (played(success, [10.0] * 40) for success in ([1, 0] * 20, [0, 1] * 20))
    found = mean_level_metrics({"a": [one, other], "b": [one, other]}).macro["success_rate"]
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.5, 0.5))
    alone = level_metrics(join_categories({"a": one, "b": one}))
    assert mean_level_metrics({"a": [one, one], "b": [one, one]}) == alone
