import math

import pytest

from rayrl.evaluation.statistics import Estimate
from rayrl.report import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234567.8, "1,234,568"),
        (-1381.4, "−1,381"),
        (11.5, "11.5"),
        (0.012345, "0.01235"),
        (512.0, "512"),
        (100.0, "100"),
        (0.0, "0"),
        (-0.0, "0"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_numbers_have_four_significant_digits(value, shown):
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("value", "low", "high", "mean", "interval"),
    [
        # Half widths of 2.9, 0.00065 and 3: two digits of them, and at most four of the value.
        (-29.714, -32.63, -26.83, "−29.7", "−32.6 to −26.8"),
        (0.99623, 0.9956, 0.9969, "0.9962", "0.9956 to 0.9969"),
        (-1381.2, -1384.3, -1378.3, "−1,381", "−1,384 to −1,378"),
        (11.22, 0.87, 21.57, "11", "1 to 22"),
        (0.0, -0.5, 0.5, "0.00", "−0.50 to 0.50"),
        (512.0, 512.0, 512.0, "512", "512 to 512"),
        (3.14159, None, None, "3.142", "–"),
    ],
)
def test_an_estimate_is_as_precise_as_its_interval(value, low, high, mean, interval):
    estimate = Estimate(value=value, low=low, high=high, n=3)
    assert (text.mean(estimate), text.interval(estimate)) == (mean, interval)


@pytest.mark.parametrize(("value", "shown"), [(2.0, "+2"), (-2.0, "−2"), (0.0, "0"), (None, "–")])
def test_signs(value, shown):
    assert text.signed(Estimate(value=value, low=None, high=None, n=1)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(4.52, "4.52 s"), (59.2, "59.2 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown


def test_words():
    assert text.count(1, "seed") == "1 seed"
    assert text.count(3000, "episode") == "3,000 episodes"
    assert [text.listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "", "a", "a and b", "a, b and c",
    ]  # fmt: skip
    assert text.percent(0.8734) == "87.3 %"
    assert text.percent(None) == "–"
    assert text.capitalized("warm, A") == "Warm, A"
