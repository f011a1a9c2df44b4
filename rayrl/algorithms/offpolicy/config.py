"""Options that all algorithms share that learn from replay."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from ray.rllib.algorithms.algorithm_config import NotProvided

from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.rllib_options import COMMON, ROLLOUT

_LEAST_ROUND = 32
"""Steps of a round, at least, where ``rollout_fragment_length`` is ``auto``."""
_BUFFER = "set replay(...), or train.replay in an experiment"


class OffPolicyConfig(ColumnarConfig):
    """Mixin for RLlib's configs of off-policy algorithms; give it before RLlib's class.

    A round collects ``steps_per_round`` environment steps while the learners make the gradient steps that
    belong to those before it. An iteration is as many rounds as ``min_sample_timesteps_per_iteration`` takes.

    Attributes:
        gradient_steps_per_env_step: how many gradient steps there are for each environment step.
        max_gradient_steps_per_round: bound on the gradient steps of a round; None for none.
    """

    rollouts_for_replay: ClassVar[bool] = True
    default_sampler: ClassVar[str] = "uniform"
    honoured: ClassVar[frozenset[str]] = (
        COMMON - {"minibatch_size"} | ROLLOUT - {"num_epochs", "normalize_rewards"}
    ) | {
        "tau",
        "n_step",
        "target_network_update_freq",
        "num_steps_sampled_before_learning_starts",
        "min_sample_timesteps_per_iteration",
        "gradient_steps_per_env_step",
        "max_gradient_steps_per_round",
    }
    instead: ClassVar[dict[str, str]] = {
        "minibatch_size": "train_batch_size_per_learner is the minibatch of each gradient step",
        "num_epochs": "set gradient_steps_per_env_step",
        "normalize_rewards": "wrap the environment: returns of replay have no common scale over time",
        "training_intensity": "set gradient_steps_per_env_step, which is "
        "training_intensity / (train_batch_size_per_learner · learners)",
        "replay_buffer_config": _BUFFER,
        "store_buffer_in_checkpoints": "set replay(replay_in_checkpoint=...)",
        "min_time_s_per_iteration": "set min_sample_timesteps_per_iteration, so that runs can be repeated",
        "min_train_timesteps_per_iteration": "set min_sample_timesteps_per_iteration",
    }

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.min_time_s_per_iteration = None
        self.min_sample_timesteps_per_iteration = 1000
        self.gradient_steps_per_env_step = 1.0
        self.max_gradient_steps_per_round: int | None = None

    def training(
        self,
        *,
        gradient_steps_per_env_step: float = NotProvided,
        max_gradient_steps_per_round: int | None = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets the options; those not named here are RLlib's and rayrl's common ones."""
        super().training(**kwargs)
        return self.set_given(
            gradient_steps_per_env_step=gradient_steps_per_env_step,
            max_gradient_steps_per_round=max_gradient_steps_per_round,
        )

    @property
    def steps_per_round(self) -> int:
        """Environment steps that all workers together collect in a round."""
        width = self.num_envs_per_env_runner * max(1, self.num_env_runners)
        fragment = self.rollout_fragment_length
        return int(width * (-(-_LEAST_ROUND // width) if fragment == "auto" else fragment))

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of an iteration, whole rounds."""
        rounds = math.ceil(self.min_sample_timesteps_per_iteration / self.steps_per_round)
        return max(1, rounds) * self.steps_per_round
