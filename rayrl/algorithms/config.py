"""What rayrl adds to RLlib's AlgorithmConfig, and which of RLlib's options it does not take."""

from __future__ import annotations

from typing import Any, Literal, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils import force_list
from ray.util.debug import log_once

from rayrl.errors import ConfigError
from rayrl.models.actor_critic import ActorCritic
from rayrl.rollout.env_runner import ColumnarEnvRunner

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
OptimizerType = Literal["adam", "adamw"]


class ColumnarConfig(AlgorithmConfig):
    """Mixin for RLlib's algorithm configs; give it before RLlib's class.

    Attributes:
        run_name: name of the run; part of the episodes' ids.
        native_vectorization: where ``gym_env_vectorize_mode`` is RLlib's default ``sync``, use the
            environment's own vector implementation if it has one.
        precision: ``fp32``; ``tf32`` and ``bf16`` on GPUs that have them; ``fp16`` with dynamic loss scaling.
        optimizer_type: ``adam`` or ``adamw``.
        optimizer_options: the optimizer's own parameters (``betas``, ``eps``, ``weight_decay``, ``amsgrad``).
        normalize_rewards: divide rewards by the spread of discounted returns, in the learner.
        max_env_failures: how often in a row an environment may raise before the run fails.
        learner_timeout_s: how long an update may take before the run fails.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.env_runner_cls = ColumnarEnvRunner
        self.num_env_runners = 0
        # Runs repeat unless asked otherwise; RLlib's None would leave workers and learners with seeds that no
        # checkpoint holds.
        self.seed = 0
        self.sample_timeout_s = 300.0
        # There are no connectors, and weights travel with each order to sample.
        self._dont_auto_sync_env_runner_states = True
        self.merge_env_runner_states = False
        self.broadcast_env_runner_states = False
        self.run_name = ""
        self.native_vectorization = True
        self.precision: Precision = "fp32"
        self.optimizer_type: OptimizerType = "adam"
        self.optimizer_options: dict[str, Any] = {}
        self.normalize_rewards = False
        self.max_env_failures = 10
        self.learner_timeout_s = 600.0

    def training(
        self,
        *,
        precision: Precision = NotProvided,
        optimizer_type: OptimizerType = NotProvided,
        optimizer_options: dict[str, Any] = NotProvided,
        normalize_rewards: bool = NotProvided,
        max_env_failures: int = NotProvided,
        learner_timeout_s: float = NotProvided,
        run_name: str = NotProvided,
        native_vectorization: bool = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets rayrl's training options; the others are RLlib's. See the class for what they mean."""
        super().training(**kwargs)
        given = {
            "precision": precision,
            "optimizer_type": optimizer_type,
            "optimizer_options": optimizer_options,
            "normalize_rewards": normalize_rewards,
            "max_env_failures": max_env_failures,
            "learner_timeout_s": learner_timeout_s,
            "run_name": run_name,
            "native_vectorization": native_vectorization,
        }
        for name, value in given.items():
            if value is not NotProvided:
                setattr(self, name, value)
        return self

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The one actor-critic for all algorithms."""
        return RLModuleSpec(module_class=ActorCritic)

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return {
            "vf_share_layers": False,
            "normalize_actions": self.normalize_actions,
            "clip_actions": self.clip_actions,
        }

    def validate(self) -> None:
        """Checks rayrl's options, and refuses those of RLlib's that would otherwise be ignored.

        Raises:
            ConfigError: naming the option, its value and what would be right.
        """
        # RLlib would advise, once, to leave its new API stack, which is what all this is built on.
        log_once(f"{self.algo_class.__name__}_on_new_api_stack")
        # RLlib derives an evaluation config from this one, with settings of its own.
        reference = AlgorithmConfig() if not self.in_evaluation else self
        for name, remedy in UNSUPPORTED.items():
            value = getattr(self, name)
            if value != getattr(reference, name):
                raise ConfigError(
                    f"{name} = {value!r} is not supported", where=type(self).__name__, remedy=remedy
                )
        for cls in force_list(self.callbacks_class):
            for name in WORKER_CALLBACKS:
                if getattr(cls, name) is not getattr(RLlibCallback, name):
                    raise ConfigError(
                        f"{cls.__name__}.{name} is not supported",
                        where=type(self).__name__,
                        remedy=_NO_CALLBACKS,
                    )
        if self.is_multi_agent:
            raise ConfigError(
                "multi-agent training is not supported", where=type(self).__name__, remedy="use one policy"
            )
        self._check_choice("precision", ("fp32", "tf32", "bf16", "fp16"))
        self._check_choice("optimizer_type", ("adam", "adamw"))
        self._check_choice("grad_clip_by", ("global_norm", "value"))
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(
                f"seed = {self.seed!r}",
                where=type(self).__name__,
                remedy="give an integer >= 0: without it a run can be neither repeated nor resumed exactly",
            )
        super().validate()

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise ConfigError(
                f"{name} = {value!r}", where=type(self).__name__, remedy=f"one of {', '.join(choices)}"
            )


WORKER_CALLBACKS = (
    "on_episode_created",
    "on_episode_start",
    "on_episode_step",
    "on_episode_end",
    "on_sample_end",
    "on_environment_created",
)
"""RLlib's callbacks that would run in the env runners, once per episode or step."""

_EVALUATE = "evaluate with rayrl.evaluate, `rayrl evaluate` or the experiment's evaluate stage"
_NO_CONNECTORS = "columns have no connectors; wrap the environment, or write an architecture"
_NO_CALLBACKS = "only callbacks of the algorithm itself are called (on_train_result, on_checkpoint_loaded, …)"

UNSUPPORTED: dict[str, str] = {
    "evaluation_interval": _EVALUATE,
    "offline_evaluation_interval": _EVALUATE,
    "custom_evaluation_function": _EVALUATE,
    "_env_to_module_connector": _NO_CONNECTORS,
    "_module_to_env_connector": _NO_CONNECTORS,
    "_learner_connector": _NO_CONNECTORS,
    **{f"callbacks_{name}": _NO_CALLBACKS for name in WORKER_CALLBACKS},
    "batch_mode": "batches are cut at a number of steps; episodes go on in the next one",
    "input_": "give a dataset to BCConfig, or to an experiment's import stage",
    "output": "collect with rayrl.collect, or an experiment's collect stage",
    "observation_filter": "set normalize_observations in model_config",
    "compress_observations": "Arrow files are compressed on disk where that is asked for",
    "num_aggregator_actors_per_learner": "learners fetch their own shards; no aggregators are needed",
    "use_worker_filter_stats": "set normalize_observations in model_config",
    "torch_compile_learner": "leave it out",
    "torch_compile_worker": "leave it out",
    "_torch_grad_scaler_class": "set precision='fp16'",
    "_torch_lr_scheduler_classes": "give lr as [[step, value], ...]",
    "policies_to_train": "there is one policy",
    "remote_worker_envs": "use more env runners",
    "num_gpus_per_env_runner": "rollouts run on CPUs",
    "count_steps_by": "there is one agent: its steps are the environment's",
    "min_time_s_per_iteration": "an iteration is one batch, so that runs can be repeated",
    "use_env_runner_state_server": "weights travel with each order to sample",
}
"""RLlib's options that these algorithms do not take, each with what to do instead."""
