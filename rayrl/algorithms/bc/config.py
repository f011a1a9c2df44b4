"""Behaviour cloning's options, and the algorithm itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import gymnasium as gym
from pydantic import Field, TypeAdapter, ValidationError
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.utils.metrics import (
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    TIMERS,
)

from rayrl.algorithms.actors import update_learners
from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.bc.data import DemonstrationData
from rayrl.algorithms.bc.learner import BCLearner
from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.pretrain_options import Balance, LRSchedule
from rayrl.algorithms.rllib_options import COMMON
from rayrl.experience.dataset import open_dataset
from rayrl.storage.spaces import Spaces

_OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "lr_schedule": (LRSchedule, "constant", "constant, linear or cosine"),
    "lr_final": (Annotated[float, Field(ge=0)], 0.0, "a number, at least 0"),
    "warmup_steps": (Annotated[int, Field(strict=True, ge=0)], 0, "a whole number, at least 0"),
    "schedule_epochs": (Annotated[int, Field(strict=True, ge=1)], 10, "a whole number, at least 1"),
    "label_smoothing": (Annotated[float, Field(ge=0, lt=1)], 0.0, "a number in [0, 1)"),
    "input_noise": (Annotated[float, Field(ge=0)], 0.0, "a number, at least 0"),
    "return_weight": (Annotated[float, Field(ge=0)], 0.0, "a number, at least 0"),
    "return_gamma": (Annotated[float, Field(gt=0, lt=1)], 0.95, "a number in (0, 1)"),
    "balance": (tuple[Balance, ...], (), "some of demonstrator and action"),
}
"""Type, default and remedy of what makes cloning more than plain."""


class BCConfig(ColumnarConfig, AlgorithmConfig):
    """Clones the demonstrations of a dataset; one training iteration is one epoch.

    Attributes:
        dataset: the dataset's folder.
        val_fraction: share of the episodes that are measured on and not learned from.
        early_stop_patience: epochs without a lower validation loss after which ``early_stop`` is reported;
            None for never.
        fit_all: learn from the episodes that are measured on as well; what is measured then is a ceiling.
        lr_schedule: ``constant``, ``linear`` or ``cosine``, from ``lr`` to ``lr_final``.
        lr_final: learning rate of the last gradient step of the schedule.
        warmup_steps: gradient steps over which the learning rate first rises.
        schedule_epochs: epochs that the schedule takes.
        label_smoothing: share of the target that is spread over all allowed actions.
        input_noise: standard deviation of noise on observations, in units of the normalized observation.
        balance: what is to weigh the same: ``demonstrator``, ``action``, or both.
        return_weight: β of exp(β z), what a step weighs by its standardized discounted return z; 0 for none.
        return_gamma: discount of these returns.
    """

    observation_space: gym.Space[Any] | None
    action_space: gym.Space[Any] | None
    lr_schedule: LRSchedule
    lr_final: float
    warmup_steps: int
    schedule_epochs: int
    label_smoothing: float
    input_noise: float
    balance: Sequence[Balance]
    return_weight: float
    return_gamma: float
    honoured: ClassVar[frozenset[str]] = COMMON | {
        "observation_space",
        "action_space",
        "dataset",
        "val_fraction",
        "early_stop_patience",
        "fit_all",
        *_OPTIONS,
    }

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or BC)
        self._is_online = False
        self.lr = 1e-3
        self.minibatch_size = 256
        self.grad_clip = None
        self.dataset: str | None = None
        self.val_fraction = 0.1
        self.early_stop_patience: int | None = None
        self.fit_all = False
        for name, (_, default, _) in _OPTIONS.items():
            setattr(self, name, default)

    def training(
        self,
        *,
        dataset: str | Path = NotProvided,
        val_fraction: float = NotProvided,
        early_stop_patience: int | None = NotProvided,
        fit_all: bool = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets the options; those not named here or by the class are RLlib's and rayrl's common ones."""
        for name in kwargs.keys() & _OPTIONS.keys():
            setattr(self, name, kwargs.pop(name))
        super().training(**kwargs)
        if dataset is not NotProvided:
            self.dataset = str(dataset)
        if val_fraction is not NotProvided:
            self.val_fraction = val_fraction
        if early_stop_patience is not NotProvided:
            self.early_stop_patience = early_stop_patience
        if fit_all is not NotProvided:
            self.fit_all = fit_all
        return self

    def get_default_learner_class(self) -> type[BCLearner]:
        """The columnar learner."""
        return BCLearner

    def validate(self) -> None:
        """Checks the options, and takes the spaces from the dataset.

        Raises:
            ConfigError: naming the option, its value and what would be right.
            IntegrityError: the dataset is damaged.
        """
        if not self.dataset:
            raise self._error("dataset is not given", "training(dataset=FOLDER)")
        if not 0 <= self.val_fraction < 1:
            raise self._error(f"val_fraction = {self.val_fraction!r}", "in [0, 1)")
        if not isinstance(self.lr, int | float):
            raise self._error(f"lr = {self.lr!r}", "a number: no environment steps are sampled to go by")
        for name, (kind, _, remedy) in _OPTIONS.items():
            try:
                TypeAdapter(kind).validate_python(getattr(self, name))
            except ValidationError:
                raise self._error(f"{name} = {getattr(self, name)!r}", f"give {remedy}") from None
        if not self._is_frozen:
            self._take_spaces(open_dataset(self.dataset).spaces)
        if problem := unfit_for(self.action_space, self.label_smoothing, self.balance):
            raise self._error(problem, "leave it out")
        super().validate()

    def _take_spaces(self, spaces: Spaces) -> None:
        given = Spaces(self.observation_space or spaces.observation, self.action_space or spaces.action)
        if differences := given.differences(spaces):
            raise self._error("; ".join(differences), "leave the spaces out: the dataset has them")
        self.observation_space, self.action_space = spaces.observation, spaces.action

    @staticmethod
    def agreement_name(action_space: gym.Space[Any]) -> str:
        """What is reported beside the loss: ``accuracy`` of discrete actions, ``action_error`` of others."""
        return "action_error" if isinstance(action_space, gym.spaces.Box) else "accuracy"


def unfit_for(
    action_space: gym.Space[Any] | None, label_smoothing: float, balance: Sequence[Balance]
) -> str | None:
    """Which of these options an action space does not allow, in words; None where it allows them."""
    if label_smoothing and not isinstance(action_space, gym.spaces.Discrete):
        return f"label_smoothing = {label_smoothing} needs Discrete actions, not {action_space}"
    if "action" in balance and isinstance(action_space, gym.spaces.Box):
        return f"balance = {list(balance)} needs actions that can be counted, not {action_space}"
    return None


class BC(ColumnarAlgorithm):
    """Behaviour cloning."""

    @classmethod
    def get_default_config(cls) -> Any:
        """The default options."""
        return BCConfig()

    def training_step(self) -> None:
        """One epoch."""
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            results = update_learners(
                self.learner_group,
                DemonstrationData(path=self.config.dataset),
                {NUM_ENV_STEPS_SAMPLED_LIFETIME: 0},
                self.config.learner_timeout_s,
            )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        epoch = self.training_iteration + 1
        best = self.metrics.peek((LEARNER_RESULTS, "default_policy", "best_epoch"))
        patience = self.config.early_stop_patience
        self.metrics.log_value(
            "early_stop", float(patience is not None and epoch - best >= patience), window=1
        )

    def best_weights(self) -> dict[str, Any]:
        """The weights of the epoch with the lowest validation loss, by name."""
        results = self.learner_group.foreach_learner(lambda learner: learner.best_weights())
        weights: dict[str, Any] = next(iter(results)).get()
        return weights
