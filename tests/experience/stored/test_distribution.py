import numpy as np
import pytest

from rayrl.experience.stored.distribution import Distribution, Moments


def test_moments_by_hand() -> None:
    """Of 1, 3 and 8: mean 4, squared deviations 9 + 1 + 16 = 26, quartiles 2, 3, 5.5."""
    found = Distribution()
    for part in ([1.0], [], [np.nan, 3.0, 8.0]):
        found.add(np.array(part))
    assert found.to_json() == {
        "count": 3,
        "missing": 1,
        "mean": 4.0,
        "std": pytest.approx((26 / 3) ** 0.5),
        "min": 1.0,
        "max": 8.0,
        "q25": 2.0,
        "median": 3.0,
        "q75": 5.5,
        "quartiles_sampled": False,
    }


def test_nothing_has_no_moments() -> None:
    found = Distribution().to_json()
    assert {found[name] for name in ("mean", "std", "min", "q25", "median", "q75", "max")} == {None}


def test_dimensions_have_moments_of_their_own() -> None:
    found = Moments((2,))
    found.add(np.array([[1.0, 10.0]]))
    found.add(np.array([[3.0, 10.0], [5.0, 40.0]]))
    assert found.to_json() == {
        "mean": [3.0, 20.0],
        "std": [pytest.approx((8 / 3) ** 0.5), pytest.approx(200**0.5)],
        "min": [1.0, 10.0],
        "max": [5.0, 40.0],
    }


def test_quartiles_of_many_are_those_of_a_sample() -> None:
    found = Distribution()
    for start in range(0, 1_000_000, 50_000):
        found.add(np.arange(start, start + 50_000))
    numbers = found.to_json()
    assert numbers["quartiles_sampled"]
    assert len(found._kept) == 1 << 17
    for name, due in (("q25", 250_000), ("median", 500_000), ("q75", 750_000)):
        assert numbers[name] == pytest.approx(due, abs=6_000)
    assert (numbers["mean"], numbers["max"]) == (499_999.5, 999_999.0)
