"""Small trials that keep replay, on an environment that can be restored; four iterations of 96 steps."""

import json
from typing import Any

import numpy as np
import pytest
from run_fixtures import prepare_run

from rayrl.models.policy_folder import load_policy
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.train_stage import make_run
from rayrl.pipeline.trial_spec import TrialSpec

SPEC = TrialSpec("mlp_baseline", "no_pretrain", 0)
OPTIONS = {
    "train_batch_size_per_learner": 16,
    "num_steps_sampled_before_learning_starts": 64,
    "gradient_steps_per_env_step": 0.25,
    "min_sample_timesteps_per_iteration": 96,
    "model_config": {"fcnet_hiddens": [8]},
}


@pytest.fixture
def replay_trial(tmp_path):
    def make(
        name="run", algorithm="sac", env="tests.algorithms.stateful_env:StatefulCartPole", **top
    ) -> RunFolder:
        values = {
            "name": "cart",
            "seeds": [0],
            "env": {"id": env},
            "conditions": ["no_pretrain"],
            **top,
            "train": {
                "algorithm": algorithm,
                "total_steps": 300,
                "envs_per_runner": 4,
                "gpus_per_learner": 0,
                "checkpoint_every_s": 0.001,
                "options": OPTIONS,
                **top.get("train", {}),
                "replay": {"sampler": "prioritized", **top.get("train", {}).get("replay", {})},
            },
        }
        return prepare_run(tmp_path / name, values)

    return make


def train(
    folder: RunFolder, spec: TrialSpec = SPEC, stop_after: int | None = None, at: dict[int, Any] | None = None
) -> bool:
    """Trains a trial; ``at`` says what to do after which iteration."""
    results: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        results.append(result)
        if at is not None and len(results) in at:
            at[len(results)]()

    return make_run(folder, spec).train(report, lambda: stop_after is not None and len(results) >= stop_after)


def lines_of(folder: RunFolder) -> list[dict[str, Any]]:
    """The trial's progress."""
    return [json.loads(line) for line in (SPEC.folder(folder) / "progress.jsonl").read_text().splitlines()]


def weights_of(folder: RunFolder) -> dict[str, np.ndarray]:
    """Those of the trial's final policy."""
    network = load_policy(SPEC.folder(folder) / "policy").network
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


KILLED = """
import os, signal, sys
from pathlib import Path
import ray
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.train_stage import make_run
from rayrl.pipeline.trial_spec import TrialSpec

ray.init(
    address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20
)
iterations = []

def report(result):
    iterations.append(result)
    if len(iterations) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

spec = TrialSpec("mlp_baseline", "no_pretrain", 0)
make_run(RunFolder(Path(sys.argv[1])), spec).train(report, lambda: False)
"""
"""Trains a trial, and kills itself after the third iteration, before its checkpoint."""
