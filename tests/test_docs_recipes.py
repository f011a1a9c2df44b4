"""The recipes of the warm-start guide, run small: the second and third go on from what the first one made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rayrl.models.policy_folder import load_policy

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "jobs" / "experiments" / "recipes"

pytestmark = pytest.mark.xdist_group("learning")  # they start Ray, and two go on from what the first one made

POLICY = Path("mlp_baseline", "with_pretrain", "seed_0", "policy")


def run(recipe: str, folder: Path, *arguments: str) -> Path:
    """Runs a recipe in one process, cut down to seconds."""
    command = [sys.executable, "-m", "rayrl.cli.main", "run", str(RECIPES / recipe), "--local", "--smoke"]
    done = subprocess.run(
        [*command, "--run-dir", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "report" / "report.html").is_file()
    return folder


@pytest.fixture(scope="module")
def one_shot(tmp_path_factory):
    return run("one_shot.yaml", tmp_path_factory.mktemp("one_shot") / "run")


def test_one_shot_holds_the_clone_by_all_that_the_guide_lists(one_shot):
    lines = (one_shot / POLICY.parent / "progress.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert first["learner"]["curr_kl_ref_coeff"] == 0.3
    assert first["learner"]["curr_kl_coeff"] == 0.15
    assert 0 <= first["learner"]["kl_ref"] < 0.1
    assert first["temperature"]["current"] == 1.5
    assert first["stabilization_steps"] == 200
    assert len(lines) == 8
    assert load_policy(one_shot / POLICY).provenance["step"] == 1024


def test_a_policy_from_elsewhere_is_taken_as_it_is(one_shot, tmp_path):
    arguments = ("--external-pretrain", str(one_shot / POLICY), "--set=env.config.replicas=4")
    folder = run("external.yaml", tmp_path / "run", *arguments)
    assert not (folder / "collect").exists()
    assert load_policy(folder / POLICY).provenance["step"] > 0


@pytest.mark.slow
def test_a_policy_from_elsewhere_is_cloned_on(one_shot, tmp_path):
    folder = run("finetune.yaml", tmp_path / "run", "--external-pretrain", str(one_shot / POLICY))
    summary = json.loads((folder / "mlp_baseline" / "pretrain" / "seed_0" / "summary.json").read_text())
    assert summary["agreement"]
    assert (folder / "collect").exists()
