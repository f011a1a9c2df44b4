"""What is used of Ray's private parts, and what is overridden: a new Ray that changes them fails here."""

import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils.actor_manager import FaultTolerantActorManager
from ray.rllib.utils.checkpoints import Checkpointable

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.experience_data import ExperienceData
from rayrl.algorithms.learner import ColumnarLearner
from rayrl.models.actor_critic import ActorCritic
from rayrl.models.policy_module import PolicyModule
from rayrl.rollout.env_runner import ColumnarEnvRunner

ROOT = Path(__file__).parents[2]

OVERRIDDEN = {
    (ColumnarAlgorithm, Algorithm): (
        "setup",
        "training_step",
        "restore_env_runners",
        "get_state",
        "set_state",
        "restore_from_path",
        "get_checkpointable_components",
    ),
    (ColumnarConfig, AlgorithmConfig): (
        "training",
        "validate",
        "get_default_rl_module_spec",
        "_model_config_auto_includes",
    ),
    (ColumnarLearner, TorchLearner): (
        "build",
        "update",
        "configure_optimizers_for_module",
        "compute_loss_for_module",
        "get_parameters",
        "get_state",
        "set_state",
        "_make_modules_ddp_if_necessary",
        "_log_trainable_parameters",
    ),
    (ExperienceData, TrainingData): ("validate", "shard", "solve_refs"),
    (ColumnarEnvRunner, EnvRunner): (
        "sample",
        "get_spaces",
        "get_metrics",
        "make_env",
        "make_module",
        "assert_healthy",
        "stop",
    ),
    (ColumnarEnvRunner, Checkpointable): ("get_state", "set_state", "get_ctor_args_and_kwargs"),
    (PolicyModule, TorchRLModule): ("_forward", "get_state", "set_state"),
    (ActorCritic, TorchRLModule): ("setup", "_forward_train"),
}
"""Ours and RLlib's class, and what the first one replaces of the second."""

ATTRIBUTES = {
    EnvRunnerGroup: ("_worker_manager",),
    LearnerGroup: ("_workers", "_learner"),
    TorchLearner: ("_weights_seq_no", "_device"),
    Algorithm: ("_iteration",),
    AlgorithmConfig: ("_dont_auto_sync_env_runner_states", "_is_online", "_is_frozen", "_rl_module_spec"),
}
"""Attributes that RLlib's classes must set."""


def test_the_version_is_the_one_that_was_read():
    assert version("ray").startswith("2.60.")


@pytest.mark.parametrize(
    ("ours", "rllibs", "name"), [(*classes, name) for classes, names in OVERRIDDEN.items() for name in names]
)
def test_what_is_overridden_is_there(ours, rllibs, name):
    assert name in vars(ours), f"{ours.__name__} does not override it"
    assert hasattr(rllibs, name), f"{rllibs.__name__} has no such method any more: nothing calls ours"


@pytest.mark.parametrize(
    ("cls", "name"), [(cls, name) for cls, names in ATTRIBUTES.items() for name in names]
)
def test_private_attributes_are_set(cls, name):
    # In the class itself or one that it is made of.
    sources = [inspect.getsource(base) for base in cls.__mro__ if base.__module__.startswith("ray.")]
    assert any(re.search(rf"self\.{name}\b.* = ", source) for source in sources)


@pytest.mark.parametrize("name", ["actors", "actor_ids", "healthy_actor_ids", "set_actor_state"])
def test_the_actor_manager_has(name):
    assert callable(getattr(FaultTolerantActorManager, name))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (TorchLearner.update, ("training_data", "timesteps")),
        (LearnerGroup.update, ("training_data", "timesteps")),
        (TrainingData.shard, ("num_shards",)),
        (FaultTolerantActorManager.set_actor_state, ("actor_id", "healthy")),
        (EnvRunnerGroup.probe_unhealthy_env_runners, ()),
        (TorchLearner.register_optimizer, ("module_id", "optimizer", "params", "lr_or_lr_schedule")),
    ],
)
def test_signatures(function, arguments):
    assert set(arguments) <= inspect.signature(function).parameters.keys()


def test_rllib_restores_workers_before_each_iteration():
    source = inspect.getsource(Algorithm._run_one_training_iteration)
    restores = source.index("self.restore_env_runners(self.env_runner_group)")
    assert restores < source.index("= self.training_step()")


def test_workers_and_learners_are_reached_in_one_module_only():
    private = re.compile(r"\._(worker_manager|workers|learner)\b(?!_)")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "rayrl").rglob("*.py")
        if any(private.search(line) and "self._" not in line for line in path.read_text().splitlines())
    }
    assert found == {"rayrl/algorithms/actors.py"}
