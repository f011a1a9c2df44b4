"""The section on KL, entropy and temperature, and what it warns of."""

import csv
import json

import pytest

from rayrl.report import build_report
from rayrl.report.run_reader import read_run
from rayrl.report.sections.divergence import SECTION
from rayrl.report.sections.warnings import warnings_of
from tests.report.run_folder import write_run, write_trial


@pytest.fixture
def folder(tmp_path):
    """A run whose warm trials are held, and whose first one is warned of and ended early."""
    write_run(tmp_path)
    spike = "the policy moved far from the reference in 2 updates: raise kl_ref.initial"
    write_trial(tmp_path, "with_pretrain", 0, warnings=[spike])
    write_trial(tmp_path, "with_pretrain", 1, stop_reason="target_kl was passed", step=4096)
    for file in tmp_path.glob("mlp_baseline/*/seed_*/progress.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            line["learner"] |= {"mean_kl_loss": 0.01, "entropy": 1.2}
            if "with_pretrain" in file.parts:
                line["learner"]["kl_ref"] = line["step"] / 1e6
                line |= {"temperature": {"current": 1.5}, "stabilization_steps": 2048}
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_a_chart_for_each_quantity_that_trials_told(folder):
    page = build_report(folder)
    with (page.parent / "figures" / "kl_reference.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all("warm" in row["series"] for row in rows)
    assert all(float(row["y"]) == pytest.approx(float(row["x"]) / 1e6) for row in rows)
    for name in ("kl_rollout", "entropy", "temperature"):
        assert (page.parent / "figures" / f"{name}.png").exists()
    assert "fed the running statistics: 2,048 (warm)." in page.read_text()


def test_nothing_is_shown_of_what_nobody_told(tmp_path):
    assert not SECTION.applies(read_run(write_run(tmp_path)))


def test_spikes_and_early_ends_are_among_the_warnings(folder):
    told = warnings_of(read_run(folder))
    assert told == [
        "mlp_baseline/with_pretrain/seed_0: the policy moved far from the reference in 2 updates: raise "
        "kl_ref.initial.",
        "mlp_baseline/with_pretrain/seed_1: ended at step 4,096, since target_kl was passed.",
    ]
