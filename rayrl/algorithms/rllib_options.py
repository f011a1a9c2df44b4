"""Which of RLlib's options rayrl's algorithms honour: setting any other one is an error, none is ignored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rayrl.errors import ConfigError

COMMON = frozenset(
    {
        # resources
        "extra_python_environs_for_driver",
        "extra_python_environs_for_worker",
        "placement_strategy",
        "num_cpus_for_main_process",
        "custom_resources_for_main_process",
        "num_learners",
        "num_gpus_per_learner",
        "num_cpus_per_learner",
        "custom_resources_per_learner",
        "local_gpu_idx",
        # training
        "lr",
        "grad_clip",
        "grad_clip_by",
        "minibatch_size",
        "learner_config_dict",
        "_learner_class",
        # policy
        "_model_config",
        "_rl_module_spec",
        "normalize_actions",
        "clip_actions",
        # reporting
        "callbacks_on_algorithm_init",
        "callbacks_on_checkpoint_loaded",
        "callbacks_on_train_result",
        "log_level",
        "log_sys_usage",
        "stats_cls_lookup",
        "seed",
        # rayrl's own
        "precision",
        "optimizer_type",
        "optimizer_options",
        "learner_timeout_s",
        "save_optimizer_state",
    }
)
"""Options that all algorithms honour."""

ROLLOUT = frozenset(
    {
        # environment
        "env",
        "env_config",
        "disable_env_checking",
        "gym_env_vectorize_mode",
        # env runners
        "env_runner_cls",
        "num_env_runners",
        "create_local_env_runner",
        "create_env_on_local_worker",
        "num_envs_per_env_runner",
        "num_cpus_per_env_runner",
        "custom_resources_per_env_runner",
        "validate_env_runners_after_construction",
        "rollout_fragment_length",
        "sample_timeout_s",
        "explore",
        # faults
        "restart_failed_env_runners",
        "ignore_env_runner_failures",
        "max_num_env_runner_restarts",
        "delay_between_env_runner_restarts_s",
        "env_runner_health_probe_timeout_s",
        "env_runner_restore_timeout_s",
        "callbacks_on_env_runners_recreated",
        # training
        "gamma",
        "num_epochs",
        "_train_batch_size_per_learner",
        "metrics_num_episodes_for_smoothing",
        # rayrl's own
        "normalize_rewards",
        "max_env_failures",
        "run_name",
        "native_vectorization",
        "replay_settings",
    }
)
"""Options that algorithms with env runners honour as well."""

BOOKKEEPING = frozenset(
    {
        # Checked by ColumnarConfig.
        "algo_class",
        "callbacks_class",
        "policies",
        "policy_mapping_fn",
        # RLlib's own state, which it changes itself.
        "exploration_config",
        "_prior_exploration_config",
        "simple_optimizer",
        "_is_atari",
        "_is_frozen",
        "_validate_config",
        "in_evaluation",
    }
)
"""Names that are no options, or are checked in another way."""

WORKER_CALLBACKS = (
    "on_episode_created",
    "on_episode_start",
    "on_episode_step",
    "on_episode_end",
    "on_sample_end",
    "on_environment_created",
)
"""RLlib's callbacks that would run in the env runners, once per episode or step."""

NO_CALLBACKS = "only callbacks of the algorithm itself are called (on_train_result, on_checkpoint_loaded, …)"
_EVALUATE = "evaluate with rayrl.evaluate, `rayrl evaluate` or the experiment's evaluate stage"
_NO_CONNECTORS = "columns have no connectors; wrap the environment, or write an architecture"
_ONE_BATCH = "an iteration is one batch, so that runs can be repeated"
_NORMALIZE = "set normalize_observations in model_config"
_NO_COMPILE = "leave it out; nothing is compiled"

UNSUPPORTED: dict[str, str] = {
    "evaluation_interval": _EVALUATE,
    "evaluation_num_env_runners": _EVALUATE,
    "offline_evaluation_interval": _EVALUATE,
    "custom_evaluation_function": _EVALUATE,
    "_env_to_module_connector": _NO_CONNECTORS,
    "_module_to_env_connector": _NO_CONNECTORS,
    "_learner_connector": _NO_CONNECTORS,
    **{f"callbacks_{name}": NO_CALLBACKS for name in WORKER_CALLBACKS},
    "batch_mode": "batches are cut at a number of steps; episodes go on in the next one",
    "train_batch_size": "set train_batch_size_per_learner",
    "min_time_s_per_iteration": _ONE_BATCH,
    "min_sample_timesteps_per_iteration": _ONE_BATCH,
    "min_train_timesteps_per_iteration": _ONE_BATCH,
    "shuffle_batch_per_epoch": "minibatches are always drawn anew in every epoch",
    "input_": "give a dataset to BCConfig, or to an experiment's import stage",
    "output": "collect with rayrl.collect, or an experiment's collect stage",
    "observation_space": "the environment has it",
    "action_space": "the environment has it",
    "model": "set rl_module(model_config=...)",
    "observation_filter": _NORMALIZE,
    "use_worker_filter_stats": _NORMALIZE,
    "action_mask_key": "the part action_mask of a Dict observation is the mask",
    "clip_rewards": "wrap the environment, or set normalize_rewards",
    "compress_observations": "Arrow files are compressed on disk where that is asked for",
    "restart_failed_sub_environments": "environments that raise are rebuilt, up to max_env_failures times",
    "num_aggregator_actors_per_learner": "learners fetch their own shards; no aggregators are needed",
    "torch_compile_learner": _NO_COMPILE,
    "torch_compile_worker": _NO_COMPILE,
    "torch_ddp_kwargs": "gradients are summed over learners in one message, without DDP",
    "torch_skip_nan_gradients": "steps whose gradient is not finite are always left out, and counted; "
    "where the loss itself is not finite, training ends and the batch is kept",
    "optimizer": "set optimizer_type and optimizer_options",
    "_torch_grad_scaler_class": "set precision='fp16'",
    "_torch_lr_scheduler_classes": "give lr as [[step, value], ...]",
    "policies_to_train": "there is one policy",
    "remote_worker_envs": "use more env runners",
    "num_gpus": "set num_gpus_per_learner",
    "num_gpus_per_env_runner": "rollouts run on CPUs",
    "count_steps_by": "there is one agent: its steps are the environment's",
    "lr_schedule": "give lr as [[step, value], ...]",
    "entropy_coeff_schedule": "give entropy_coeff as [[step, value], ...]",
    "use_env_runner_state_server": "weights travel with each order to sample",
}
"""What to do instead of setting an option that is not honoured, where there is more to say than to leave it
out."""


def check_options(
    config: AlgorithmConfig,
    defaults: AlgorithmConfig,
    honoured: Collection[str],
    instead: Mapping[str, str] = UNSUPPORTED,
) -> None:
    """Refuses options that would have no effect.

    Args:
        config: what to check.
        defaults: a config of rayrl's class as it is made.
        honoured: names that may differ from the defaults.
        instead: what to do instead of setting others.

    Raises:
        ConfigError: naming the option, its value, and what to do instead.
    """
    for name, default in vars(defaults).items():
        value: Any = getattr(config, name)
        if name not in honoured and name not in BOOKKEEPING and value != default:
            raise ConfigError(
                f"{name} = {value!r} is not supported",
                where=type(config).__name__,
                remedy=instead.get(name, "leave it out: it would have no effect here"),
            )
