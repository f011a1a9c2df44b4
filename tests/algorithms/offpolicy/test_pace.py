"""How many gradient steps belong to the steps sampled."""

import pytest

from rayrl.algorithms.offpolicy.pace import Pace


def rounds(pace, steps, until):
    return [pace.next_round(at) for at in range(0, until, steps)]


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1.0, [0, 0, 0, 4, 8, 8]), (0.25, [0, 0, 0, 1, 2, 2]), (0.1, [0, 0, 0, 0, 1, 1])]
)
def test_the_ratio_holds_from_the_start_of_learning_on(ratio, expected):
    # Rounds of 8 steps; learning starts at 20: of steps 16 to 24, four count.
    assert rounds(Pace(ratio, 20, None), 8, 48) == expected


def test_the_sum_is_exact_over_many_rounds():
    pace = Pace(0.3, 0, None)
    assert sum(rounds(pace, 7, 7001)) == pace.steps == int(0.3 * 7000)


def test_what_exceeds_the_bound_is_let_go():
    pace = Pace(1.0, 0, 5)
    assert [pace.next_round(at) for at in (0, 8, 16, 17, 18)] == [0, 5, 5, 1, 1]
    assert pace.steps == 12


def test_a_round_that_has_nothing_to_learn_from_is_let_go():
    pace = Pace(1.0, 0, None)
    assert [pace.next_round(8, possible=False), pace.next_round(16)] == [0, 8]


def test_a_resumed_run_goes_on_and_makes_up_for_nothing():
    whole = Pace(0.3, 10, None)
    rounds(whole, 8, 80)
    resumed = Pace(0.3, 10, None)
    resumed.set_state(whole.get_state())
    assert [resumed.next_round(at) for at in (80, 88, 96)] == [whole.next_round(at) for at in (80, 88, 96)]
    faster = Pace(2.0, 10, 20)
    faster.set_state(whole.get_state())
    assert [faster.next_round(at) for at in (104, 112)] == [20, 16]
