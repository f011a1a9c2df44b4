import numpy as np
import pytest

from rayrl.report.curves import Curve, mean_curve, read_curve


def test_lines_become_columns_ordered_by_step(tmp_path):
    path = tmp_path / "progress.jsonl"
    path.write_text(
        '{"step": 20, "ret": 2.0, "seconds": {"learn": 0.5}, "tag": "x"}\n'
        '{"step": 10, "ret": null, "ok": true}\n'
    )
    curve, damaged = read_curve(path, "step")
    assert damaged == 0
    np.testing.assert_array_equal(curve["step"], [10, 20])
    np.testing.assert_array_equal(curve["ret"], [np.nan, 2.0])
    np.testing.assert_array_equal(curve["seconds/learn"], [np.nan, 0.5])
    np.testing.assert_array_equal(curve["ok"], [1.0, np.nan])
    np.testing.assert_array_equal(curve["absent"], [np.nan, np.nan])
    assert "tag" not in curve.columns
    np.testing.assert_array_equal(curve.known("step", "ret"), [[20], [2.0]])


def test_a_resumed_run_writes_steps_again_and_the_last_counts(tmp_path):
    path = tmp_path / "progress.jsonl"
    path.write_text('{"step": 1, "r": 1}\n{"step": 2, "r": 5}\n{"step": 2, "r": 6}\n{"step": 3, "r": 7}\n')
    curve, _ = read_curve(path, "step")
    np.testing.assert_array_equal(curve["r"], [1, 6, 7])


def test_a_line_cut_short_is_counted_and_left_out(tmp_path):
    path = tmp_path / "progress.jsonl"
    path.write_text('{"step": 1, "r": 1}\n[1]\n{"r": 3}\n{"step": 2, "r"')
    curve, damaged = read_curve(path, "step")
    assert (len(curve), damaged) == (1, 3)


def test_a_missing_file_is_an_empty_curve(tmp_path):
    curve, damaged = read_curve(tmp_path / "none.jsonl", "step")
    assert (len(curve), damaged) == (0, 0)
    assert len(curve["step"]) == 0


def test_the_mean_of_curves_covers_what_all_have():
    a = np.array([0.0, 10.0, 20.0]), np.array([0.0, 10.0, 20.0])
    b = np.array([5.0, 15.0, 25.0]), np.array([15.0, 15.0, 15.0])
    x, y = mean_curve([a, b])
    # From 5 to 20; a is x there, b is 15.
    np.testing.assert_array_equal(x, [5, 10, 15, 20])
    np.testing.assert_allclose(y, [10.0, 12.5, 15.0, 17.5])


def test_the_mean_of_no_curves_is_empty():
    assert [len(part) for part in mean_curve([])] == [0, 0]
    assert [len(part) for part in mean_curve([(np.empty(0), np.empty(0))])] == [0, 0]


def test_length_is_that_of_the_columns():
    assert len(Curve({"step": np.arange(3.0)})) == 3
    assert len(Curve({})) == 0
    assert Curve({"step": np.arange(3.0)})["x"] == pytest.approx([np.nan] * 3, nan_ok=True)
