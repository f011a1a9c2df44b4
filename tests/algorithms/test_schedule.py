import pytest

from rayrl.algorithms.schedule import scheduled


def test_a_number_stays():
    assert scheduled(3, 10**9) == 3.0


@pytest.mark.parametrize(
    ("step", "value"),
    [(0, 1.0), (100, 1.0), (150, 0.75), (200, 0.5), (400, 0.0), (10**9, 0.0)],
)
def test_points_are_joined_by_lines(step, value):
    # Before the first point its value; from (100, 1) to (200, 0.5) halfway 0.75; after the last its value.
    assert scheduled([[100, 1.0], [200, 0.5], [400, 0.0]], step) == pytest.approx(value)
