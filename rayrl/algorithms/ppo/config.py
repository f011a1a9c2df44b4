"""PPO's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from ray.rllib.algorithms import ppo
from ray.rllib.algorithms.algorithm_config import NotProvided

from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.ppo.algorithm import PPO
from rayrl.algorithms.ppo.learner import PPOLearner
from rayrl.algorithms.ppo.options import ReferenceKL, Sections, Stabilization, TemperatureControl
from rayrl.config import Config
from rayrl.envs.demonstrators import make_demonstrator
from rayrl.rollout.env_runner import RANDOM

TargetKLAction = Literal["stop_epochs", "warn", "stop_training"]


class PPOConfig(ColumnarConfig, ppo.PPOConfig):
    """RLlib's PPOConfig, with rayrl's options and other defaults.

    The defaults are the usual ones for PPO on small networks (Schulman et al. 2017; Engstrom et al. 2020),
    where RLlib has 30 epochs of minibatches of 128 at a rate of 5e-5, with λ = 1, clip 0.3 and a KL penalty:
    ``lr`` 3e-4, ``train_batch_size_per_learner`` 2048, ``minibatch_size`` 256, ``num_epochs`` 10,
    ``lambda_`` 0.95, ``clip_param`` 0.2, ``vf_loss_coeff`` 0.5, ``vf_clip_param`` None (no clipping),
    ``grad_clip`` 0.5, ``use_kl_loss`` False.

    ``kl_target`` None keeps ``kl_coeff`` as it is, where RLlib always adapts it.

    Attributes:
        kl_ref: holds the policy near the one that training starts from; options of ``ReferenceKL``.
        temperature: samples at a temperature that follows load and stagnation; of ``TemperatureControl``.
        stabilization: steps that feed running statistics before training; of ``Stabilization``.
        target_kl: mean KL in nats from the policy that collected, looked at after each epoch, beyond which
            ``target_kl_action`` is taken; None for no bound.
        target_kl_action: ``stop_epochs`` of this update, ``warn`` only, or ``stop_training`` as well.
        entropy_min: floor H_min in nats under the mean entropy H of a minibatch; None for none.
        entropy_min_coeff: weight of max(0, H_min − H) in the loss.
        critic_warmup_updates: first updates, in which the value alone learns.
        freeze_normalizer: keep the observation normalizer as it is when training begins.
    """

    honoured: ClassVar[frozenset[str]] = ColumnarConfig.honoured | {
        "lambda_",
        "use_kl_loss",
        "kl_coeff",
        "kl_target",
        "vf_loss_coeff",
        "entropy_coeff",
        "clip_param",
        "vf_clip_param",
        "kl_ref",
        "temperature",
        "stabilization",
        "target_kl",
        "target_kl_action",
        "entropy_min",
        "entropy_min_coeff",
        "critic_warmup_updates",
        "freeze_normalizer",
    }

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or PPO)
        self.lr = 3e-4
        self.train_batch_size_per_learner = 2048
        self.minibatch_size = 256
        self.num_epochs = 10
        self.lambda_ = 0.95
        self.clip_param = 0.2
        self.vf_loss_coeff = 0.5
        self.vf_clip_param = None
        self.grad_clip = 0.5
        self.use_kl_loss = False
        self.kl_ref: ReferenceKL | None = None
        self.temperature: TemperatureControl | None = None
        self.stabilization: Stabilization | None = None
        self.target_kl: float | None = None
        self.target_kl_action: TargetKLAction = "stop_epochs"
        self.entropy_min: float | None = None
        self.entropy_min_coeff = 0.1
        self.critic_warmup_updates = 0
        self.freeze_normalizer = False

    def training(
        self,
        *,
        kl_ref: ReferenceKL | Mapping[str, Any] | None = NotProvided,
        temperature: TemperatureControl | Mapping[str, Any] | None = NotProvided,
        stabilization: Stabilization | Mapping[str, Any] | None = NotProvided,
        target_kl: float | None = NotProvided,
        target_kl_action: TargetKLAction = NotProvided,
        entropy_min: float | None = NotProvided,
        entropy_min_coeff: float = NotProvided,
        critic_warmup_updates: int = NotProvided,
        freeze_normalizer: bool = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets the options; those not named here are RLlib's and rayrl's common ones."""
        super().training(**kwargs)
        return self.set_given(
            kl_ref=kl_ref,
            temperature=temperature,
            stabilization=stabilization,
            target_kl=target_kl,
            target_kl_action=target_kl_action,
            entropy_min=entropy_min,
            entropy_min_coeff=entropy_min_coeff,
            critic_warmup_updates=critic_warmup_updates,
            freeze_normalizer=freeze_normalizer,
        )

    @property
    def watched_signals(self) -> tuple[str, ...]:
        """What the temperature follows."""
        return () if self.temperature is None else tuple(self.temperature.signals.values())

    def get_default_learner_class(self) -> type[PPOLearner]:
        """The columnar learner."""
        return PPOLearner

    def validate(self) -> None:
        """Checks the options, and makes the sections what they are of.

        Raises:
            ConfigError: naming the option, its value and what would be right.
        """
        given = {name: getattr(self, name) for name in Sections.model_fields}
        if not all(isinstance(value, Config | None) for value in given.values()):
            for name, section in Sections.parse(given, where=type(self).__name__):
                setattr(self, name, section)
        if self.stabilization is not None and self.stabilization.policy != RANDOM:
            make_demonstrator(str(self.env), self.stabilization.policy, seed=0)  # is there one of that name?
        super().validate()
