"""Learning rates against numbers worked out by hand."""

import pytest

from rayrl.algorithms.bc.schedule import LearningRate


def rates(**options):
    rate = LearningRate(**options)
    return [rate.at(step) for step in range(options["total"])]


def test_constant_after_a_warm_up_of_four():
    found = rates(lr=0.8, warmup=4, total=6)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_linear_ends_at_its_final_value():
    # p = 0, 1/4, …, 1 after two steps of warm-up
    found = rates(lr=1.0, kind="linear", final=0.2, warmup=2, total=7)
    assert found == pytest.approx([0.5, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_cosine_ends_at_its_final_value():
    # (1 + cos πp) / 2 at p = 0, 1/2, 1
    assert rates(lr=1.0, kind="cosine", final=0.2, total=3) == pytest.approx([1.0, 0.6, 0.2])
    # at p = 1/3: cos 60° = 1/2, so 3/4
    assert rates(lr=1.0, kind="cosine", total=4)[1] == pytest.approx(0.75)


def test_past_its_end_it_stays():
    rate = LearningRate(lr=1.0, kind="linear", final=0.5, total=3)
    assert rate.at(2) == rate.at(10) == 0.5


def test_a_schedule_of_one_step_begins():
    assert LearningRate(lr=1.0, kind="linear", final=0.5, total=1).at(0) == 1.0
