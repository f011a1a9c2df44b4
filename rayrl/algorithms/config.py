"""What rayrl adds to RLlib's AlgorithmConfig."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import gymnasium as gym
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils import force_list
from ray.util.debug import log_once

from rayrl.algorithms.learner import ColumnarLearner
from rayrl.algorithms.option_values import check_values
from rayrl.algorithms.replay.settings import ReplaySettings
from rayrl.algorithms.rllib_options import (
    COMMON,
    NO_CALLBACKS,
    ROLLOUT,
    UNSUPPORTED,
    WORKER_CALLBACKS,
    check_options,
)
from rayrl.envs.spec import import_env_module
from rayrl.errors import ConfigError
from rayrl.models.actor_critic import ActorCritic
from rayrl.models.model_config import ModelConfig
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
        max_env_failures: how often an environment may raise with no episode or batch finished in between.
        learner_timeout_s: how long an update may take before the run fails.
        save_optimizer_state: whether checkpoints hold the optimizer's state.
    """

    honoured: ClassVar[frozenset[str]] = COMMON | ROLLOUT
    """Names of the options that have an effect; setting any other one is an error."""
    instead: ClassVar[dict[str, str]] = {}
    """What to do instead of setting some that have none, besides what is said of all algorithms."""
    rollouts_for_replay: ClassVar[bool] = False
    """Whether rollouts are learned from out of replay, and hold the environment's actions."""
    default_sampler: ClassVar[str] = "uniform"
    """How steps are drawn from replay where the settings leave it open."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.env_runner_cls = ColumnarEnvRunner
        self.num_env_runners = 0
        # Runs repeat unless asked otherwise; RLlib's None would leave workers and learners with seeds that no
        # checkpoint holds.
        self.seed = 0
        self.sample_timeout_s = 300.0
        # RLlib's True measures the machine, not the trial, and asks to install a package that is no more.
        self.log_sys_usage = False
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
        self.save_optimizer_state = True
        self.replay_settings = ReplaySettings()

    def training(
        self,
        *,
        precision: Precision = NotProvided,
        optimizer_type: OptimizerType = NotProvided,
        optimizer_options: dict[str, Any] = NotProvided,
        normalize_rewards: bool = NotProvided,
        max_env_failures: int = NotProvided,
        learner_timeout_s: float = NotProvided,
        save_optimizer_state: bool = NotProvided,
        run_name: str = NotProvided,
        native_vectorization: bool = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets rayrl's training options; the others are RLlib's. See the class for what they mean."""
        super().training(**kwargs)
        return self.set_given(
            precision=precision,
            optimizer_type=optimizer_type,
            optimizer_options=optimizer_options,
            normalize_rewards=normalize_rewards,
            max_env_failures=max_env_failures,
            learner_timeout_s=learner_timeout_s,
            save_optimizer_state=save_optimizer_state,
            run_name=run_name,
            native_vectorization=native_vectorization,
        )

    def set_given(self, **options: Any) -> Self:
        """Sets the options that are given, and leaves those that are ``NotProvided`` as they are."""
        for name, value in options.items():
            if value is not NotProvided:
                setattr(self, name, value)
        return self

    def replay(self, **settings: Any) -> Self:
        """Sets what is kept of the rollouts and how it is drawn, by the names of ``ReplaySettings``.

        Raises:
            ConfigError: naming what is wrong.
        """
        given = self.replay_settings.model_dump() | settings
        self.replay_settings = ReplaySettings.parse(given, where=f"{type(self).__name__}.replay")
        return self

    @property
    def keeps_replay(self) -> bool:
        """Whether there is a replay buffer."""
        return self.rollouts_for_replay or self.replay_settings.record

    @property
    def num_replay_shards(self) -> int:
        """Actors that hold the replay buffer; 0 where there is none, or it is in the algorithm's process."""
        if not self.keeps_replay:
            return 0
        return self.replay_settings.shards(env_runners=self.num_env_runners, learners=self.num_learners)

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of a training iteration."""
        return int(self.total_train_batch_size)

    def random_shares(self, env_steps: int) -> Iterator[float] | None:
        """How often an ε-greedy policy is to act at random, for one vector step of a worker after the other.

        Args:
            env_steps: environment steps of all workers before.

        Returns:
            The shares; None of a policy that is not ε-greedy.
        """
        return None

    @property
    def refuses_clones(self) -> str | None:
        """What to do instead of starting from a cloned policy; None where that is possible."""
        return None

    def fit_model(self, model: ModelConfig, action_space: gym.Space[Any]) -> ModelConfig:
        """A network's options with what this algorithm needs of them.

        Raises:
            SpaceError: the algorithm has no policy for such actions.
        """
        return model

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The one actor-critic for all algorithms."""
        return RLModuleSpec(module_class=ActorCritic)

    @property
    def watched_signals(self) -> tuple[str, ...]:
        """Names of what the environment tells of itself that receipts are to have; see ``SignalMeter``."""
        return ()

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
        if not self.in_evaluation:  # RLlib derives such a config from this one, with settings of its own
            rayrls = next(cls for cls in type(self).__mro__ if cls.__module__.startswith("rayrl."))
            check_options(self, rayrls(), self.honoured, UNSUPPORTED | self.instead)
            self._check_replay()
        self._check_callbacks()
        self._check_class("env_runner_cls", self.env_runner_cls, ColumnarEnvRunner)
        self._check_class("learner_class", self.learner_class, ColumnarLearner)
        if isinstance(spec := self._rl_module_spec, RLModuleSpec) and spec.module_class is not None:
            own = self.get_default_rl_module_spec().module_class
            self._check_class("rl_module_spec.module_class", spec.module_class, own)
        if self.is_multi_agent:
            raise self._error("multi-agent training is not supported", "use one policy")
        check_values(self, self.honoured)
        self._check_choice("precision", ("fp32", "tf32", "bf16", "fp16"))
        self._check_choice("optimizer_type", ("adam", "adamw"))
        self._check_choice("grad_clip_by", ("global_norm", "value"))
        if not isinstance(self.seed, int) or self.seed < 0:
            raise self._error(
                f"seed = {self.seed!r}",
                "give an integer >= 0: without it a run can be neither repeated nor resumed exactly",
            )
        super().validate()

    def _check_replay(self) -> None:
        settings = self.replay_settings
        if not self.rollouts_for_replay and settings.offline_dataset is not None:
            raise self._error(
                "offline_dataset: nothing is learned from replay",
                "use SAC or DQN, or leave it out",
            )
        if self.keeps_replay:
            if isinstance(self.env, str):
                import_env_module(self.env)
            settings.make_sampler(self.default_sampler)
        rows = self.train_batch_size_per_learner
        if self.rollouts_for_replay and settings.capacity < rows:
            raise self._error(
                f"replay.capacity = {settings.capacity}: a minibatch has {rows} steps",
                "keep more, or lower train_batch_size_per_learner",
            )
        if settings.offline_dataset is not None and not 0 < round(settings.offline_fraction * rows) < rows:
            raise self._error(
                f"offline_fraction = {settings.offline_fraction}: of a minibatch of {rows} steps that is "
                f"{round(settings.offline_fraction * rows)}",
                "choose a share that leaves steps of both kinds, or a larger train_batch_size_per_learner",
            )
        if not self.keeps_replay and settings != ReplaySettings():
            raise self._error("there is no replay buffer to set up", "set record: true")

    def _check_callbacks(self) -> None:
        for cls in force_list(self.callbacks_class):
            for name in WORKER_CALLBACKS:
                if getattr(cls, name) is not getattr(RLlibCallback, name):
                    raise self._error(f"{cls.__name__}.{name} is not supported", NO_CALLBACKS)

    def _check_class(self, name: str, value: Any, base: type) -> None:
        if not (isinstance(value, type) and issubclass(value, base)):
            raise self._error(f"{name} = {value!r}", f"give a subclass of {base.__module__}.{base.__name__}")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise self._error(f"{name} = {value!r}", f"one of {', '.join(choices)}")

    def _error(self, message: str, remedy: str) -> ConfigError:
        return ConfigError(message, where=type(self).__name__, remedy=remedy)
