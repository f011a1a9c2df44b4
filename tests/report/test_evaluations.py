"""Evaluations of a trial, from the lines that it wrote."""

import json

import numpy as np

from rayrl.report.evaluations import curve_of, read_evaluations


def line(step, returns):
    return json.dumps({"step": step, "seeds": [3, 4], "metrics": {"episode_return": returns}}) + "\n"


def test_lines_are_in_the_order_of_their_steps_and_the_last_of_a_step_counts(tmp_path):
    file = tmp_path / "evaluations.jsonl"
    assert read_evaluations(file) == ((), 0)
    file.write_text(line(200, [1.0, 3.0]) + line(0, [0.0, 0.0]) + line(200, [5.0, 7.0]))
    found, damaged = read_evaluations(file)
    assert [(each.step, each.seeds, each.mean) for each in found] == [(0, (3, 4), 0.0), (200, (3, 4), 6.0)]
    assert damaged == 0
    steps, means = curve_of(found)
    np.testing.assert_array_equal([steps, means], [[0, 200], [0, 6]])


def test_lines_that_cannot_be_read_are_counted(tmp_path):
    file = tmp_path / "evaluations.jsonl"
    file.write_text(line(0, [1.0, 2.0]) + '{"step": 100}\n[]\n{"step": 2')
    found, damaged = read_evaluations(file)
    assert ([each.step for each in found], damaged) == ([0], 3)
