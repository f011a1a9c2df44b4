"""Which values the options of rayrl's algorithms take. RLlib looks at few of them before it uses them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, TypeAdapter, ValidationError
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rayrl.errors import ConfigError

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_NonNegative = Annotated[_Number, Field(ge=0)]
_Positive = Annotated[_Number, Field(gt=0)]
_Share = Annotated[_Number, Field(ge=0, le=1)]
_Decay = Annotated[_Number, Field(ge=0, lt=1)]
_Integer = Annotated[int, Field(strict=True, ge=0)]
_Count = Annotated[int, Field(strict=True, ge=1)]


class _OptimizerOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    betas: tuple[_Decay, _Decay] = (0.9, 0.999)
    eps: _Positive = 1e-8
    weight_decay: _NonNegative = 0.0
    amsgrad: StrictBool = False


_NON_NEGATIVE = _NonNegative, "a number, at least 0"
_POSITIVE = _Positive, "a number, more than 0"
_POSITIVE_OR_NONE = _Positive | None, "a number, more than 0, or null"
_SHARE = _Share, "a number in [0, 1]"
_INTEGER = _Integer, "a whole number, at least 0"
_COUNT = _Count, "a whole number, at least 1"
_COUNT_OR_NONE = _Count | None, "a whole number, at least 1, or null"
_BOOL = StrictBool, "true or false"
_RATE = (
    _NonNegative | Sequence[tuple[_Integer, _NonNegative]],
    "a number, at least 0, or [[step, number], …]",
)

_VALUES: dict[str, tuple[Any, str]] = {
    "lr": _RATE,
    "actor_lr": _RATE,
    "critic_lr": _RATE,
    "alpha_lr": _RATE,
    "entropy_coeff": (
        _Number | Sequence[tuple[_Integer, _Number]],
        "a number, or [[step, number], …]",
    ),
    "gamma": _SHARE,
    "lambda_": _SHARE,
    "num_epochs": _COUNT,
    "minibatch_size": _COUNT_OR_NONE,
    "train_batch_size_per_learner": _COUNT_OR_NONE,
    "rollout_fragment_length": (_Count | Literal["auto"], "a whole number, at least 1, or auto"),
    "clip_param": _POSITIVE,
    "vf_clip_param": _POSITIVE_OR_NONE,
    "vf_loss_coeff": _NON_NEGATIVE,
    "use_kl_loss": _BOOL,
    "kl_coeff": _NON_NEGATIVE,
    "kl_target": _POSITIVE_OR_NONE,
    "target_kl": _POSITIVE_OR_NONE,
    "target_kl_action": (
        Literal["stop_epochs", "warn", "stop_training"],
        "stop_epochs, warn or stop_training",
    ),
    "entropy_min": (_Number | None, "a number of nats, or null"),
    "entropy_min_coeff": _NON_NEGATIVE,
    "critic_warmup_updates": _INTEGER,
    "freeze_normalizer": _BOOL,
    "grad_clip": _POSITIVE_OR_NONE,
    "optimizer_options": (
        _OptimizerOptions,
        "a mapping of betas (two numbers in [0, 1)), eps (more than 0), weight_decay (at least 0), amsgrad",
    ),
    "normalize_rewards": _BOOL,
    "tau": _SHARE,
    "n_step": (_Count, "a whole number, at least 1; returns of a random number of steps are not supported"),
    "target_network_update_freq": _INTEGER,
    "num_steps_sampled_before_learning_starts": _INTEGER,
    "min_sample_timesteps_per_iteration": _INTEGER,
    "gradient_steps_per_env_step": _POSITIVE,
    "max_gradient_steps_per_round": _COUNT_OR_NONE,
    "twin_q": _BOOL,
    "initial_alpha": _POSITIVE,
    "target_entropy": (_Number | Literal["auto"], "a number, or auto"),
    "epsilon": (_Share | Sequence[tuple[_Integer, _Share]], "a number in [0, 1], or [[step, number], …]"),
    "double_q": _BOOL,
    "dueling": _BOOL,
    "td_error_loss_fn": (Literal["huber", "mse"], "huber or mse"),
    "native_vectorization": _BOOL,
    "explore": _BOOL,
    "run_name": (StrictStr, "a text"),
    "max_env_failures": _INTEGER,
    "learner_timeout_s": _POSITIVE,
    "num_env_runners": _INTEGER,
    "num_envs_per_env_runner": _COUNT,
    "num_learners": _INTEGER,
}
_ADAPTERS = {name: (TypeAdapter(kind), remedy) for name, (kind, remedy) in _VALUES.items()}


def check_values(config: AlgorithmConfig, honoured: Set[str]) -> None:
    """Makes sure that every option of the table has a value that it can take.

    Args:
        config: what to check.
        honoured: names of options that have an effect; others are not looked at.

    Raises:
        ConfigError: naming the option, its value and what would be right.
    """
    for name, (adapter, remedy) in _ADAPTERS.items():
        if not hasattr(config, name) or honoured.isdisjoint((name, f"_{name}")):
            continue
        value = getattr(config, name)
        try:
            # Tune may have drawn it from NumPy.
            adapter.validate_python(value.item() if isinstance(value, np.generic) else value)
        except ValidationError:
            where = type(config).__name__
            raise ConfigError(f"{name} = {value!r}", where=where, remedy=f"give {remedy}") from None
