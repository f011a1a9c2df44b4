"""The temperature over a sequence of iterations that was worked out by hand."""

import math

import pytest
from pydantic import ValidationError

from rayrl.algorithms.ppo.options import TemperatureControl
from rayrl.algorithms.ppo.temperature import TemperatureController
from tests.algorithms.learners import assert_same


def controller(**options):
    return TemperatureController(
        TemperatureControl(**{"base": 1.0, "minimum": 0.5, "maximum": 2.0, "pulse_magnitude": 0, **options})
    )


def test_pressure_cools_and_imbalance_heats():
    # P_q: 1, then 1 + 0.1 (0.5 - 1) = 0.95, then as it was; P_l: max(0, -0.5) = 0, then 0.1 · 3 = 0.3
    # T = 1 - 0.05 P_q - 0.1 P_l + 0.1 (1 - balance)
    control = controller()
    assert control.current == 1.0
    control.update({"queue": 2.0, "latency": 0.5, "balance": 0.8}, math.nan)
    assert control.current == pytest.approx(1 - 0.05 + 0.1 * 0.2)
    control.update({"queue": 1.5, "latency": 4.0, "balance": 1.0}, math.nan)
    assert control.current == pytest.approx(1 - 0.05 * 0.95 - 0.1 * 0.3)
    assert control.metrics()["queue_pressure_ema"] == pytest.approx(0.95)
    assert control.metrics()["latency_pressure_ema"] == pytest.approx(0.3)
    control.update({"balance": 0.5}, math.nan)
    assert control.current == pytest.approx(1 - 0.05 * 0.95 - 0.1 * 0.3 + 0.1 * 0.5)


def test_an_idle_queue_heats_and_bounds_hold():
    control = controller(queue_gain=10.0, signals={"queue": "load"})
    control.update({"load": 0.0}, math.nan)
    assert control.current == 2.0
    other = controller(queue_gain=10.0, signals={"queue": "load"})
    other.update({"load": 9.0}, math.nan)
    assert other.current == 0.5


def test_pulses_come_at_intervals_and_last():
    # Iterations 4, 5 of 4 a pulse: 1 + 2 · 1 = 3, within 2 · 2 = 4; the next one 4 after the start.
    control = controller(pulse_magnitude=2.0, pulse_interval=4, pulse_length=2, signals={})
    seen = []
    for iteration in range(10):
        control.update({}, 100.0 * 2**iteration)  # never still
        seen.append(control.current)
    assert seen == [1, 1, 1, 3, 3, 1, 1, 3, 3, 1]


def test_the_bound_is_twice_as_high_for_all_of_a_pulse():
    control = controller(pulse_magnitude=9.0, pulse_interval=3, pulse_length=2, signals={})
    seen = []
    for iteration in range(5):
        control.update({}, 100.0 * 2**iteration)
        seen.append(control.current)
    assert seen == [1, 1, 4, 4, 1]


def test_stagnation_of_the_return_begins_a_pulse():
    # Changes relative to the newest: 100 → 100.4 is 0.398 %, 101 is 0.59 %, 101.2 0.198 %, 101.4 0.197 %.
    control = controller(
        pulse_magnitude=1.0, pulse_interval=None, pulse_length=1, stagnation_window=2, signals={}
    )
    seen = []
    for value in (math.nan, 100.0, 100.4, 101.0, 101.2, 101.4, 101.4, 101.4):
        control.update({}, value)
        seen.append(control.metrics()["is_pulsing"])
    # Judged anew after a pulse: two more still iterations make the next.
    assert seen == [0, 0, 0, 0, 0, 1, 0, 1]


def test_stagnation_of_signals():
    control = controller(
        pulse_magnitude=1.0,
        pulse_interval=None,
        pulse_length=1,
        stagnation_of="signals",
        stagnation_window=2,
    )
    seen = []
    # |Δq| + |Δl|: 0.01, 0.004, 0.004
    for queue, latency in ((1.0, 1.0), (1.005, 1.005), (1.007, 1.007), (1.009, 1.009)):
        control.update({"queue": queue, "latency": latency, "balance": 1.0}, 5.0)
        seen.append(control.metrics()["is_pulsing"])
    assert seen == [0, 0, 0, 1]


def test_it_goes_on_from_its_state():
    options = {"pulse_magnitude": 2.0, "pulse_interval": 4, "pulse_length": 2}
    one, other = controller(**options), controller(**options)
    inputs = [({"queue": 1 + 0.1 * i, "latency": 1.5, "balance": 0.9}, 10.0 + i % 3) for i in range(12)]
    for signals, value in inputs[:5]:
        one.update(signals, value)
    saved = one.get_state()
    for signals, value in inputs[5:]:
        one.update(signals, value)
    other.set_state(saved)
    for signals, value in inputs[5:]:
        other.update(signals, value)
    assert_same(other.get_state(), one.get_state())
    assert other.current == one.current


def test_what_was_never_told_is_named():
    control = controller(signals={"queue": "load", "balance": "evenness"})
    control.update({"load": 1.0}, 1.0)
    assert control.missing == ["evenness"]
    control.update({"evenness": 1.0}, 1.0)
    assert control.missing == []


@pytest.mark.parametrize(
    "options",
    [
        {"base": 4.0},
        {"pulse_interval": 3},
        {"stagnation_of": "signals", "signals": {"balance": "balance"}},
        {"signals": {"speed": "speed"}},
        {"minimum": 0},
        {"ema_alpha": 0},
    ],
)
def test_options_that_do_not_fit(options):
    with pytest.raises(ValidationError):
        TemperatureControl(**options)
