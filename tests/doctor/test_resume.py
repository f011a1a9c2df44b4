"""`rayrl verify-resume` without its processes: what it compares, and what it says of what differs."""

import json

import numpy as np
import pytest
import torch

from rayrl.doctor.resume import _in_small, compare, verify_resume
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.state_digests import _digests, _files, part_of

STATE = {
    "learner_group": {
        "learner": {
            "rl_module": {"default_policy": {"w": np.arange(3.0)}},
            "optimizer": {"adam": {"state": [{"exp_avg": torch.ones(2)}]}},
            "training": {"kl_coeff": 0.2},
            "metrics_logger": {"seconds": 1.0},
        }
    },
    "workers": {"workers": {1: {"collector": {"env": {"envs": [{"own": {"x": 1}}]}, "sequence": 4}}}},
    "steering": {"stop_reason": None},
    "progress": {"env_steps": 64},
    "metrics_logger": {"seconds": 2.0},
}


def changed(path, value):
    *keys, last = path
    state = copy = dict(STATE)
    for key in keys:
        copy[key] = list(copy[key]) if isinstance(copy[key], list) else dict(copy[key])
        copy = copy[key]
    copy[last] = value
    return state


def findings(state):
    return {
        finding.check: finding
        for finding in compare("train", dict(_digests(STATE, "")), dict(_digests(state, "")))
    }


def test_a_state_is_told_apart_by_what_it_is_of():
    digests = dict(_digests(STATE, ""))
    assert {part_of(name) for name in digests} == {
        "weights",
        "optimizer",
        "coefficients",
        "environments",
        "rollouts",
        "counters",
    }
    assert part_of("curve/3/learner/policy_loss") == "metrics"
    assert part_of("replay/replay_buffer/a.arrow") == "replay"
    # Timings are no two runs' the same.
    assert not any("metrics_logger" in name for name in digests)
    assert all(finding.state == "ok" for finding in findings(STATE).values())


LEARNER = ("learner_group", "learner")
WEIGHTS = (*LEARNER, "rl_module", "default_policy", "w")
COLLECTOR = ("workers", "workers", 1, "collector")


@pytest.mark.parametrize(
    ("path", "value", "part", "remedy"),
    [
        (WEIGHTS, np.array([0, 1, 2 + 1e-15]), "weights", "same steps"),
        (WEIGHTS, np.arange(3.0, dtype="f4"), "weights", "same steps"),
        ((*LEARNER, "optimizer", "adam", "state"), [], "optimizer", "same steps"),
        ((*LEARNER, "training", "kl_coeff"), 0.2 + 1e-16, "coefficients", "same steps"),
        ((*COLLECTOR, "env", "envs", 0), {"own": {"x": 2}}, "environments", "get_state must give"),
        ((*COLLECTOR, "sequence"), 5, "rollouts", "reset(seed"),
        (("progress", "env_steps"), 64.0, "counters", "same steps"),
    ],
)
def test_the_part_that_differs_is_named_to_the_last_bit(path, value, part, remedy):
    found = findings(changed(path, value))
    (problem,) = (finding for finding in found.values() if finding.state == "problem")
    assert problem.check == f"train: {part}"
    (name,) = problem.facts["differing"]
    assert name.startswith("/".join(map(str, path)))
    assert name in problem.message
    assert remedy in problem.remedy


def test_what_a_buffer_was_saved_with_is_no_state(tmp_path):
    found = []
    for name, commit, rows in (("a", "one", 3), ("b", "two", 3), ("c", "two", 4)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps({"rows": rows, "versions": {"git": commit}}))
        (folder / "part.arrow").write_bytes(b"rows")
        found.append(dict(_files(folder)))
    assert found[0] == found[1]
    assert found[0].keys() == {"replay/manifest.json", "replay/part.arrow"}
    assert found[1]["replay/manifest.json"] != found[2]["replay/manifest.json"]


def test_an_experiment_that_is_wrong_is_one_finding(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text("name: x\nenv: {id: CartPole-v1}\nconditions: [no_pretrain]\ntrain: {algorithm: ppp}\n")
    diagnosis = verify_resume(file)
    assert not diagnosis.healthy
    (finding,) = diagnosis.findings
    assert (finding.check, finding.state) == ("experiment", "problem")
    assert "ppo" in finding.remedy


@pytest.mark.parametrize(("given", "taken"), [("null", 64), ("9", 9), ("900", 64)])
def test_few_replays_are_enough(tmp_path, given, taken):
    (tmp_path / "replays.json").write_text("{}")
    file = tmp_path / "e.yaml"
    file.write_text(
        "name: x\nseeds: [0]\nconditions: [with_pretrain]\n"
        "env: {id: rayrl/MineMaze-v0, config: {observations: [game_state]}}\n"
        f"collect: {{replays: replays.json, first_replays: {given}}}\n"
    )
    small = _in_small(load_experiment(file), 1, kept_every=1, last=2)
    assert small.collect.first_replays == taken
    assert small.collect.replays == tmp_path / "replays.json"


def test_an_environment_that_cannot_tell_its_state_is_told_before_anything_is_trained(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text("name: x\nenv: {id: CartPole-v1}\nconditions: [no_pretrain]\n")
    diagnosis = verify_resume(file)
    (finding,) = diagnosis.findings
    assert finding.state == "problem"
    assert "train.reset_on_checkpoint: true" in finding.remedy
