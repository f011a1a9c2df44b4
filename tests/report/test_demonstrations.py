"""The section on demonstrations, agreement by demonstrator, and what is warned of."""

import csv
import html
import json

import pytest

from rayrl.report import build_report
from rayrl.report.run_reader import read_run
from rayrl.report.sections import demonstrations, warnings
from tests.report.run_folder import write_json, write_run

SCENARIOS = {
    "as_trained": {"steps": 60, "episodes": 3, "return_mean": -20.0, "actions": [30, 15, 15, 0]},
    "half_load": {"steps": 40, "episodes": 0, "return_mean": None, "actions": [10, 10, 20, 0]},
}
WHOLE = {"steps": 100, "episodes": 3, "return_mean": -20.0, "actions": [40, 25, 35, 0]}


@pytest.fixture
def run(tmp_path):
    folder = write_run(tmp_path)
    extra = {
        "demonstrators": {"least_outstanding": WHOLE | {"scenarios": SCENARIOS}},
        "scenarios": {"half_load": [{"qps": 4.5, "target_load": None}]},
    }
    write_json(folder / "collect" / "manifest.json", {"format_version": "1.0", "files": [], "extra": extra})
    for seed in (0, 1):
        file = folder / "mlp_baseline" / "pretrain" / f"seed_{seed}" / "summary.json"
        agreement = {
            "all": {"steps": 10, "value": 0.8},
            "demonstrators": {"least_outstanding": {"steps": 10, "value": 0.8 - seed / 10}},
            "scenarios": {"half_load": {"steps": 4, "value": 0.5}},
            "actions": {"2": {"steps": 3, "value": 1 / 3}},
            "commonest": 0.4,
        }
        told = ["raise pretrain.epochs"] if seed else []
        file.write_text(json.dumps(json.loads(file.read_text()) | {"agreement": agreement, "warnings": told}))
    return folder


def test_shares_of_actions_by_demonstrator_and_scenario(run):
    figures = build_report(run).parent / "figures"
    with (figures / "demonstrated_actions.csv").open() as file:
        rows = list(csv.reader(file))
    text = "\n".join(map(str, rows))
    assert all(f"least_outstanding, {name}" in text for name in SCENARIOS)
    # 40 of 100, 10 of 40
    assert "0.4" in text
    assert "0.25" in text


def test_the_page_says_what_was_agreed_with_and_what_was_never_shown(run):
    text = build_report(run).read_text()
    assert "qps = 4.5, target_load = None" in text
    assert (
        "Nobody ever took action 3. A policy cloned from these demonstrations will not take it either, "
        in text
    )
    for shown in ("80.0 %", "70.0 %", "50.0 %", "33.3 %", "action 2"):
        assert shown in text


def test_where_the_evaluation_rewards_otherwise_the_page_says_so(run):
    assert "other options" not in build_report(run).read_text()
    config = json.loads((run / "config.json").read_text())
    config["evaluate"] = config.get("evaluate", {}) | {"env_config": {"shaping": None, "requests": 64}}
    write_json(run / "config.json", config)
    text = html.unescape(build_report(run).read_text())
    assert "The evaluation has other options (shaping: null, requests: 64), and so other returns." in text
    assert "environment than it was trained with (shaping: null, requests: 64)" in text


def test_warnings_name_the_field_to_change(run):
    told = warnings.warnings_of(read_run(run))
    assert "No demonstrator ever took action 3: add one that does to collect.demonstrators" in told[0]
    assert told[1] == "mlp_baseline/pretrain/seed_1: raise pretrain.epochs."


def test_what_was_taken_over_was_not_cloned(tmp_path):
    folder = write_run(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"pretrain": {"skip_bc": True}})
    (folder / "collect" / "manifest.json").unlink()
    for seed in range(3):
        home = folder / "mlp_baseline" / "pretrain" / f"seed_{seed}"
        write_json(home / "summary.json", {"taken_over": True})
        (home / "curve.jsonl").write_text("")
    data = read_run(folder)
    assert not [text for text in data.problems if "emonstra" in text]
    assert not demonstrations.SECTION.applies(data)
    text = build_report(folder).read_text()
    assert "Behaviour cloning" not in text
    assert "from a policy that was given" in text


def test_replays_are_told_of_as_such(run):
    config = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", config | {"collect": {"replays": "inputs/mazes", "steps": 8192}})
    extra = {
        "import": {"replays": 12, "file": "mazes", "sha256": 64 * "a"},
        "demonstrators": {
            "join_shortest_work": WHOLE,
            "least_outstanding": WHOLE | {"steps": 300},
            "replay": WHOLE | {"steps": 50},
        },
    }
    write_json(run / "collect" / "manifest.json", {"format_version": "1.0", "files": [], "extra": extra})
    data = read_run(run)
    assert data.teachers == {"join_shortest_work": 100, "least_outstanding": 300, "replay": 50}
    # Not the 8,192 that demonstrators would have played.
    assert data.demonstrated_steps == 450
    told = warnings.warnings_of(data)
    assert "No replay ever takes action 3: add to collect.replays some that do" in told[0]
    text = build_report(run).read_text()
    assert "The demonstrations, 12 replays of mazes that were simulated again; a dash" in text
    assert "that was cloned from replays of join_shortest_work and least_outstanding." in text
    assert "The 450 steps of the replays are the same for all seeds" in text
    (run / "collect" / "manifest.json").unlink()
    data = read_run(run)
    assert (data.teachers, data.demonstrated_steps) == ({}, None)


def test_a_policy_that_demonstrates_has_its_share(tmp_path):
    given = {"teacher": {"policy": "inputs/x", "share": 3.0, "deterministic": True}, "random": 1.0}
    data = read_run(write_run(tmp_path, collect={"demonstrators": given, "steps": 8}))
    assert data.experiment.collect.demonstrators == {"teacher": 3.0, "random": 1.0}
