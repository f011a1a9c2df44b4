"""DQN's loss (Mnih et al. 2015) on whole columns, with double Q-learning (van Hasselt et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor
from torch.nn import functional

from rayrl.algorithms.learner import Columns
from rayrl.algorithms.offpolicy.learner import WEIGHTS, OffPolicyLearner
from rayrl.algorithms.schedule import scheduled
from rayrl.experience import columns as c
from rayrl.experience.replay.samples import DISCOUNTS
from rayrl.models.action_values import ActionValues
from rayrl.models.critics import move_towards
from rayrl.models.distributions import MASKED_LOGIT
from rayrl.models.observations import ACTION_MASK


class DQNLearner(OffPolicyLearner):
    """Regression of action values on n-step targets."""

    statistics = ("td_loss", "q_mean", "q_target_mean", "td_error")
    policy: ActionValues

    def build(self) -> None:
        """Builds the learner; exploration is that before the first step."""
        super().build()
        self._set_epsilon(0)

    def before_gradient_based_update(self, *, timesteps: Mapping[str, Any]) -> None:
        """Reads the schedule of exploration at the steps sampled so far."""
        super().before_gradient_based_update(timesteps=timesteps)
        self._set_epsilon(timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))

    def loss(self, minibatch: Columns) -> tuple[Tensor, Tensor]:
        """Sums over rows of the loss and of the statistics."""
        network = self.policy.network
        parts, next_parts = self.parts(minibatch)
        with torch.no_grad():
            flat, images = network.read(next_parts)
            following = self.policy.target.action_values_of(flat, images).float()
            chooser = network.action_values_of(flat, images).float() if self.config.double_q else following
            if ACTION_MASK in next_parts:
                chooser = chooser.where(next_parts[ACTION_MASK] != 0, MASKED_LOGIT)
            # y = r + γⁿ Q'(s', argmax Q(s', ·))
            value = following.gather(-1, chooser.argmax(-1, keepdim=True)).squeeze(-1)
            target = minibatch[c.REWARDS] + minibatch[DISCOUNTS] * value
            flat, images = network.read(parts)
        space: Any = self.policy.distribution.space
        index = (minibatch[c.ACTIONS].long() - int(space.start)).unsqueeze(-1)
        values = network.action_values_of(flat, images).float().gather(-1, index).squeeze(-1)
        if self.config.td_error_loss_fn == "huber":
            losses = functional.huber_loss(values, target, reduction="none")
        else:
            losses = 0.5 * (values - target).square()
        if WEIGHTS in minibatch:
            losses = losses * minibatch[WEIGHTS]
        loss = losses.sum()
        with torch.no_grad():
            self.td_errors = (values - target).abs()
            told = (loss, values.sum(), target.sum(), self.td_errors.sum())
            statistics = torch.stack(told)
        return loss, statistics

    def move_targets(self) -> None:
        """Moves the target network."""
        move_towards(self.policy.target, self.policy.network, self.config.tau)

    def coefficients(self) -> dict[str, float]:
        """How often an action is taken at random."""
        return {"epsilon": self.policy.network.epsilon.item()}

    def _set_epsilon(self, step: int) -> None:
        self.policy.network.epsilon.fill_(scheduled(self.config.epsilon, step))
