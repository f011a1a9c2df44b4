"""How many gradient steps belong to the steps sampled, and to which of them."""

import pytest

from rayrl.algorithms.offpolicy.pace import Pace


def counts(pace, ends):
    return [len(pace.next_round(at)) for at in ends]


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1.0, [0, 0, 0, 4, 8, 8]), (0.25, [0, 0, 0, 1, 2, 2]), (0.1, [0, 0, 0, 0, 1, 1])]
)
def test_the_ratio_holds_from_the_start_of_learning_on(ratio, expected):
    # Rounds of 8 steps; learning starts at 20: of steps 16 to 24, four count.
    assert counts(Pace(ratio, 20, None), range(0, 48, 8)) == expected


def test_the_sum_is_exact_over_many_rounds():
    pace = Pace(0.3, 0, None)
    assert sum(counts(pace, range(0, 7001, 7))) == pace.steps == int(0.3 * 7000)


def test_each_gradient_step_is_due_after_a_step_of_its_own():
    assert Pace(2.0, 20, None).next_round(23).tolist() == [21, 21, 22, 22, 23, 23]
    assert Pace(0.25, 20, None).next_round(35).tolist() == [24, 28, 32]
    # ⌊0.3 n⌋ becomes 1, 2, 3, 4 at 4, 7, 10, 14.
    assert Pace(0.3, 0, None).next_round(15).tolist() == [4, 7, 10, 14]


@pytest.mark.parametrize("ratio", [0.1, 0.3, 1.0, 1.7, 3.0])
def test_they_are_due_after_the_same_steps_however_long_rounds_are(ratio):
    whole = Pace(ratio, 30, None).next_round(2000).tolist()
    for width in (1, 7, 32):
        pace = Pace(ratio, 30, None)
        assert [due for at in [*range(0, 2000, width), 2000] for due in pace.next_round(at)] == whole
    assert all(int(ratio * (due - 30)) >= k for k, due in enumerate(whole, 1))
    assert all(int(ratio * (due - 31)) < k for k, due in enumerate(whole, 1))


def test_what_exceeds_the_bound_is_let_go():
    pace = Pace(1.0, 0, 5)
    assert pace.next_round(0).tolist() == []
    assert pace.next_round(8).tolist() == [4, 5, 6, 7, 8]
    assert counts(pace, (16, 17, 18)) == [5, 1, 1]
    assert pace.steps == 12


def test_a_round_that_has_nothing_to_learn_from_is_let_go():
    pace = Pace(1.0, 0, None)
    assert [len(pace.next_round(8, possible=False)), len(pace.next_round(16))] == [0, 8]


def test_a_resumed_run_goes_on_and_makes_up_for_nothing():
    whole = Pace(0.3, 10, None)
    counts(whole, range(0, 81, 8))
    resumed = Pace(0.3, 10, None)
    resumed.set_state(whole.get_state())
    later = (80, 88, 96)
    assert [resumed.next_round(at).tolist() for at in later] == [
        whole.next_round(at).tolist() for at in later
    ]


@pytest.mark.parametrize(
    ("ratio", "expected"), [(2.0, [16, 16, 16]), (0.125, [1, 1, 1]), (1.0, [8, 8, 8]), (0.3, [3, 2, 2])]
)
def test_another_ratio_holds_from_the_restore_on(ratio, expected):
    before = Pace(1.0, 8, None)
    counts(before, range(0, 1001, 8))
    pace = Pace(ratio, 8, None)
    pace.set_state(before.get_state())
    assert counts(pace, (1008, 1016, 1024)) == expected
    assert pace.steps == 992 + sum(expected)
