"""A trial as an algorithm's config, and an architecture as a policy network's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym

from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.registry import algorithm_config, set_options
from rayrl.errors import ConfigError
from rayrl.models.model_config import ModelConfig
from rayrl.pipeline.architecture_entry import options_of
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.trial_spec import TrialSpec

_OPTIONS = "train.options"
_SET_ELSEWHERE = {
    "env": "env.id",
    "env_config": "env.config",
    "num_env_runners": "train.env_runners",
    "num_envs_per_env_runner": "train.envs_per_runner",
    "num_cpus_per_env_runner": "train.cpus_per_env_runner",
    "num_learners": "train.learners",
    "num_gpus_per_learner": "train.gpus_per_learner",
    "num_cpus_per_learner": "train.cpus_per_learner",
    "seed": "seeds",
    "run_name": "name",
    "replay_settings": "train.replay",
    "save_optimizer_state": "train.save_optimizer_state",
}
"""Options of the algorithm's config that the experiment has fields of its own for."""


def network_config(experiment: Experiment, architecture: str, action_space: gym.Space[Any]) -> ModelConfig:
    """The options of an architecture's policy network, as cloning and the algorithm both have it.

    Raises:
        ConfigError: the architecture or one of its options is unknown or wrong.
        SpaceError: the algorithm has no policy for such actions.
    """
    options = ModelConfig.from_rllib(options_of(experiment, architecture))
    return algorithm_config(experiment.train.algorithm).fit_model(options, action_space)


def build_config(experiment: Experiment, spec: TrialSpec, *, run_name: str, gpus: float) -> ColumnarConfig:
    """The algorithm's config of a trial.

    Args:
        experiment: the run's experiment.
        spec: the trial.
        run_name: part of the episodes' ids.
        gpus: how many there are, for ``gpus_per_learner: auto``.

    Raises:
        ConfigError: an option of the algorithm or the architecture is wrong.
    """
    train = experiment.train
    options = {name: value for name, value in spec.options(train.options).items() if name != "model_config"}
    for name in options.keys() & _SET_ELSEWHERE.keys():
        raise ConfigError(
            f"{name} = {options[name]!r}", where=_OPTIONS, remedy=f"set {_SET_ELSEWHERE[name]} instead"
        )
    config = algorithm_config(train.algorithm)
    config.environment(experiment.env.id, env_config=dict(experiment.env.config))
    config.env_runners(
        num_env_runners=train.env_runners,
        num_envs_per_env_runner=train.envs_per_runner,
        num_cpus_per_env_runner=train.cpus_per_env_runner,
    )
    config.learners(
        num_learners=train.learners,
        num_gpus_per_learner=train.gpus_for_each_learner(gpus),
        num_cpus_per_learner=train.cpus_per_learner,
    )
    config.training(run_name=f"{run_name}/{spec.name}", save_optimizer_state=train.save_optimizer_state)
    config.rl_module(model_config=options_of(experiment, spec.architecture))
    config.debugging(seed=spec.seed, log_level="ERROR")
    replay = train.replay.model_dump()
    if train.replay.spool_path is not None:
        replay["spool_path"] = str(Path(train.replay.spool_path) / run_name / spec.name)
    config.replay(**replay)
    set_options(config, options, where=_OPTIONS)
    return config
