import json

import numpy as np
import pytest

from rayrl.comparison.compare import compare
from rayrl.comparison.criteria import Criterion
from rayrl.report.run_reader import read_run
from tests.comparison.run_folder import write_run
from tests.report.run_folder import write_run as write_router_run

EFFICIENCY = Criterion.sample_efficiency


def curve(path, seed=1):
    return path / f"gcn/no_pretrain/seed_{seed}/progress.jsonl"


def without_success(file):
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line.pop("success_rate", None)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("damage", [lambda file: file.write_text(""), without_success, None])
def test_a_missing_curve_is_left_out_and_named_and_the_measure_stays(tmp_path, damage):
    write_run(tmp_path, architectures=["gcn"])
    whole = compare(read_run(tmp_path))
    if damage is None:
        # One point is no curve.
        curve(tmp_path).write_text(curve(tmp_path).read_text().splitlines()[0] + "\n")
    else:
        damage(curve(tmp_path))
    found = compare(read_run(tmp_path))
    assert found.learning.missing == {"cold": (1,)}
    assert found.candidate("warm").criteria[EFFICIENCY] == whole.candidate("warm").criteria[EFFICIENCY]
    # Success is between 0 and 1; returns here would be too, but of all seeds.
    assert found.candidate("cold").criteria[EFFICIENCY].n == 2
    assert EFFICIENCY in found.decision.weights
    (warning,) = (each for each in found.warnings if "sample efficiency" in each)
    assert warning == (
        "Left out of the sample efficiency, since their recent episodes of training do not tell the success "
        "at two steps or more: cold (seed 1)."
    )


def test_all_missing_curves_are_in_one_warning(tmp_path):
    write_run(tmp_path, architectures=["gcn", "full_hgt"])
    without_success(curve(tmp_path, 0))
    for seed in (1, 2):
        without_success(tmp_path / f"full_hgt/with_pretrain/seed_{seed}/progress.jsonl")
    found = compare(read_run(tmp_path))
    (warning,) = (each for each in found.warnings if "sample efficiency" in each)
    assert warning.endswith("more: gcn cold (seed 0) and full_hgt warm (seeds 1 and 2).")


def test_where_no_curve_tells_success_returns_do_not_take_its_place(tmp_path):
    write_run(tmp_path, architectures=["gcn"])
    for file in tmp_path.glob("gcn/*/*/progress.jsonl"):
        without_success(file)
    found = compare(read_run(tmp_path))
    assert {each.criteria[EFFICIENCY].value for each in found.candidates} == {None}
    assert EFFICIENCY in found.decision.unknown
    assert found.warnings[-1].startswith("The sample efficiency is not known: no trial's recent episodes of")


def test_curves_that_share_no_steps_are_said_to(tmp_path):
    write_run(tmp_path, architectures=["gcn"])
    lines = curve(tmp_path).read_text().splitlines()
    curve(tmp_path, 0).write_text("\n".join(lines[:3]) + "\n")
    curve(tmp_path, 1).write_text("\n".join(lines[5:]) + "\n")
    found = compare(read_run(tmp_path))
    assert found.candidate("warm").criteria[EFFICIENCY].value is None
    assert "no steps over which all learning curves reach" in found.warnings[-1]


def test_the_scale_of_curves_is_recorded(tmp_path):
    found = compare(read_run(write_router_run(tmp_path)))
    assert found.measure == "score"
    assert found.learning.source == "training"
    assert found.learning.scale == found.scales["as_trained"]
    success = compare(read_run(write_run(tmp_path / "maze", architectures=["gcn"])))
    assert (success.learning.scale.low, success.learning.scale.high) == (0.0, 1.0)


def test_returns_as_they_are_have_curves_as_they_are(tmp_path):
    write_router_run(tmp_path)
    for file in tmp_path.glob("evaluate/demonstrators/*.json"):
        file.unlink()
    found = compare(read_run(tmp_path))
    assert (found.measure, found.learning.scale) == ("return", None)
    values = [each.criteria[EFFICIENCY].value for each in found.candidates]
    assert max(values) < 0
    utilities = [standing.utilities[EFFICIENCY] for standing in found.decision.standings]
    assert sorted(utilities) == pytest.approx([0.0, 1.0])
    assert np.argmax(values) == [each.label for each in found.candidates].index(
        max(found.decision.standings, key=lambda standing: standing.utilities[EFFICIENCY]).label
    )
