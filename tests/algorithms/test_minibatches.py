import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayrl.algorithms.minibatches import cut_evenly, plan_minibatches


def test_one_learner_has_the_minibatches_of_its_size():
    plan = plan_minibatches([2048], 0, 256)
    assert plan.steps == 8
    assert plan.bounds.tolist() == list(range(0, 2049, 256))
    assert plan.totals.tolist() == [256] * 8


def test_learners_of_uneven_shards_take_the_same_number_of_steps():
    # The largest shard asks for 10 / 4 = 2.5, rounded to 3 steps. Learner 0: 10 rows in parts of 3, 3, 4;
    # learner 1: 7 in parts of 2, 2, 3; learner 2 has none. Together 5, 5 and 7.
    rows = [10, 7, 0]
    plans = [plan_minibatches(rows, rank, 4) for rank in range(3)]
    assert [plan.bounds.tolist() for plan in plans] == [[0, 3, 6, 10], [0, 2, 4, 7], [0, 0, 0, 0]]
    assert all(plan.totals.tolist() == [5, 5, 7] for plan in plans)


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (255, 1), (383, 1), (384, 2), (512, 2), (639, 2)])
def test_minibatches_have_about_the_size_asked_for(rows, steps):
    assert plan_minibatches([rows], 0, 256).steps == steps


def test_no_size_means_one_step():
    assert plan_minibatches([1000, 10], 1, None).bounds.tolist() == [0, 10]


@given(st.integers(0, 10_000), st.integers(1, 100))
def test_parts_differ_by_at_most_a_row(rows, parts):
    sizes = np.diff(cut_evenly(rows, parts))
    assert len(sizes) == parts
    assert sizes.sum() == rows
    assert sizes.max() - sizes.min() <= 1


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=5).filter(any), st.integers(1, 512))
def test_no_minibatch_is_empty_over_all_learners(rows, size):
    assert plan_minibatches(rows, 0, size).totals.min() > 0
