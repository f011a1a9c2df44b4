"""PPO's options, and the algorithm itself."""

from __future__ import annotations

from typing import Any, ClassVar

from ray.rllib.algorithms import ppo

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.ppo.learner import PPOLearner


class PPOConfig(ColumnarConfig, ppo.PPOConfig):
    """RLlib's PPOConfig, with rayrl's options and other defaults.

    The defaults are the usual ones for PPO on small networks (Schulman et al. 2017; Engstrom et al. 2020),
    where RLlib has 30 epochs of minibatches of 128 at a rate of 5e-5, with λ = 1, clip 0.3 and a KL penalty:
    ``lr`` 3e-4, ``train_batch_size_per_learner`` 2048, ``minibatch_size`` 256, ``num_epochs`` 10,
    ``lambda_`` 0.95, ``clip_param`` 0.2, ``vf_loss_coeff`` 0.5, ``vf_clip_param`` None (no clipping),
    ``grad_clip`` 0.5, ``use_kl_loss`` False.
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

    def get_default_learner_class(self) -> type[PPOLearner]:
        """The columnar learner."""
        return PPOLearner


class PPO(ColumnarAlgorithm):
    """Proximal policy optimization."""

    @classmethod
    def get_default_config(cls) -> Any:
        """The default options."""
        return PPOConfig()
