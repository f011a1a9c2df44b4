"""SAC's losses on whole columns, of continuous actions (Haarnoja et al. 2018, arXiv:1812.05905) and of
discrete ones (Christodoulou 2019, arXiv:1910.07207)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from rayrl.algorithms.collective import rank, world_size
from rayrl.algorithms.learner import Columns
from rayrl.algorithms.offpolicy.learner import WEIGHTS, OffPolicyLearner
from rayrl.algorithms.schedule import scheduled
from rayrl.config.seeding import Role, generator
from rayrl.experience import columns as c
from rayrl.experience.replay.samples import DISCOUNTS
from rayrl.models.critics import move_towards
from rayrl.models.distributions import Categorical, SquashedGaussian
from rayrl.models.observations import ACTION_MASK
from rayrl.models.soft_actor_critic import SoftActorCritic

_NOISE, _NEXT_NOISE = "noise", "next_noise"
_RATES = ("actor_lr", "critic_lr", "alpha_lr")
_DISCRETE_ENTROPY = 0.98
"""Of a discrete policy, the share of the highest entropy that ``target_entropy = "auto"`` asks for."""


class SACLearner(OffPolicyLearner):
    """Twin critics, policy and temperature in one backward pass and one optimizer step.

    Attributes:
        curr_log_alpha: log of the temperature, by module, as RLlib has it.
    """

    statistics = ("critic_loss", "policy_loss", "alpha_loss", "q_mean", "entropy", "td_error")
    policy: SoftActorCritic
    curr_log_alpha: dict[str, torch.nn.Parameter]

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Registers one Adam or AdamW with a learning rate each for policy, critics and temperature."""
        module = self.module[module_id]
        initial = torch.tensor(math.log(config.initial_alpha), device=self._device)
        self.curr_log_alpha = {module_id: torch.nn.Parameter(initial)}
        groups = [
            list(module.network.parameters()),
            list(module.critics.parameters()),
            [self.curr_log_alpha[module_id]],
        ]
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        optimizer = kinds[config.optimizer_type](
            [
                {"params": parameters, "lr": scheduled(getattr(config, rate), 0)}
                for parameters, rate in zip(groups, _RATES, strict=True)
            ],
            fused=True,
            **config.optimizer_options,
        )
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=[p for group in groups for p in group]
        )

    def before_gradient_based_update(self, *, timesteps: Mapping[str, Any]) -> None:
        """Reads the schedules at the steps sampled so far."""
        super().before_gradient_based_update(timesteps=timesteps)
        step = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        for group, rate in zip(self._optimizer.param_groups, _RATES, strict=True):
            group["lr"] = scheduled(getattr(self.config, rate), step)

    def noise(self, steps: int, rows: int) -> Columns:
        """Standard normal noise for both observations of each row, of which each learner takes its share."""
        distribution = self.policy.distribution
        if not isinstance(distribution, SquashedGaussian):
            return {}
        numbers = generator(self.config.seed, Role.learner, 0, self._updates)
        # Drawn for the rows of all learners, so that N of them do what one would.
        drawn = distribution.noise(numbers, (2, steps, world_size(), rows))[:, :, rank()]
        both = np.ascontiguousarray(drawn).reshape(2, steps * rows, -1)
        return {_NOISE: self.to_device(both[0]), _NEXT_NOISE: self.to_device(both[1])}

    def loss(self, minibatch: Columns) -> tuple[Tensor, Tensor]:
        """Sums over rows of the loss and of the statistics."""
        if isinstance(self.policy.distribution, Categorical):
            return self._discrete_loss(minibatch)
        return self._continuous_loss(minibatch)

    def _continuous_loss(self, minibatch: Columns) -> tuple[Tensor, Tensor]:
        policy, network, log_alpha = self.policy, self.policy.network, self._log_alpha
        distribution: Any = policy.distribution
        alpha = log_alpha.detach().exp()
        parts, next_parts = self.parts(minibatch)
        with torch.no_grad():
            flat, images = network.read(next_parts)
            inputs = network.policy_of(flat, images, next_parts)
            actions, logp = distribution.reparameterized(inputs, minibatch[_NEXT_NOISE])
            # y = r + γⁿ (min Q'(s', a') - α log π(a'|s'))
            value = policy.target_critics(flat, images, actions)[..., 0].amin(0).float() - alpha * logp
            target = minibatch[c.REWARDS] + minibatch[DISCOUNTS] * value
            flat, images = network.read(parts)
        taken = minibatch[c.ACTIONS].reshape(len(target), -1)
        values = policy.critics(flat, images, taken)[..., 0].float()
        critic_loss = self._critic_loss(values, target, minibatch)
        actions, logp = distribution.reparameterized(
            network.policy_of(flat, images, parts), minibatch[_NOISE]
        )
        # L = α log π(a|s) - min Q(s, a), through the action alone
        best = policy.critics(flat, images, actions, frozen=True)[..., 0].amin(0).float()
        policy_loss = (alpha * logp - best).sum()
        # L = -log α (log π + H), H the entropy that is aimed at
        aim = self._target_entropy(logp)
        alpha_loss = (-log_alpha * (logp.detach() + aim)).sum()
        return self._together(critic_loss, policy_loss, alpha_loss, values, -logp)

    def _discrete_loss(self, minibatch: Columns) -> tuple[Tensor, Tensor]:
        policy, network, log_alpha = self.policy, self.policy.network, self._log_alpha
        alpha = log_alpha.detach().exp()
        parts, next_parts = self.parts(minibatch)
        with torch.no_grad():
            flat, images = network.read(next_parts)
            logp = network.policy_of(flat, images, next_parts).float().log_softmax(-1)
            # y = r + γⁿ Σ π(a|s') (min Q'(s', a) - α log π(a|s'))
            value = policy.target_critics(flat, images).amin(0).float() - alpha * logp
            target = minibatch[c.REWARDS] + minibatch[DISCOUNTS] * (logp.exp() * value).sum(-1)
            flat, images = network.read(parts)
        every = policy.critics(flat, images).float()
        index = self._index(minibatch[c.ACTIONS])
        values = every.gather(-1, index.expand(len(every), -1, -1)).squeeze(-1)
        critic_loss = self._critic_loss(values, target, minibatch)
        logp = network.policy_of(flat, images, parts).float().log_softmax(-1)
        probability = logp.exp()
        # L = Σ π(a|s) (α log π(a|s) - min Q(s, a))
        policy_loss = (probability * (alpha * logp - every.detach().amin(0))).sum()
        entropy = -(probability * logp).sum(-1)
        aim = self._target_entropy(entropy, parts.get(ACTION_MASK))
        alpha_loss = (-log_alpha * (aim - entropy.detach())).sum()
        return self._together(critic_loss, policy_loss, alpha_loss, values, entropy)

    def _critic_loss(self, values: Tensor, target: Tensor, minibatch: Columns) -> Tensor:
        """½ Σ w (Q - y)² over critics and rows; keeps the rows' TD errors."""
        errors = values - target
        self.td_errors = errors.detach().abs().mean(0)
        squares = 0.5 * errors.square()
        return (squares * minibatch[WEIGHTS] if WEIGHTS in minibatch else squares).sum()

    def _together(
        self, critic_loss: Tensor, policy_loss: Tensor, alpha_loss: Tensor, values: Tensor, entropy: Tensor
    ) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            told = (critic_loss, policy_loss, alpha_loss, values.mean(0).sum(), entropy.sum())
            statistics = torch.stack([*told, self.td_errors.sum()])
        return critic_loss + policy_loss + alpha_loss, statistics

    @property
    def _log_alpha(self) -> Tensor:
        return self.curr_log_alpha[DEFAULT_MODULE_ID]

    def _index(self, actions: Tensor) -> Tensor:
        """(B, 1) positions of Discrete actions."""
        space: Any = self.policy.distribution.space
        return (actions.long() - int(space.start)).unsqueeze(-1)

    def _target_entropy(self, like: Tensor, mask: Tensor | None = None) -> Tensor | float:
        """The entropy that the temperature aims at, of a discrete policy for each row (B,)."""
        if self.config.target_entropy != "auto":
            return float(self.config.target_entropy)
        distribution = self.policy.distribution
        if isinstance(distribution, SquashedGaussian):
            return -float(distribution.noise_size)
        if mask is None:
            return _DISCRETE_ENTROPY * math.log(distribution.input_size)
        return _DISCRETE_ENTROPY * (mask != 0).sum(-1).to(like.dtype).log()

    def move_targets(self) -> None:
        """Moves the target critics."""
        move_towards(self.policy.target_critics, self.policy.critics, self.config.tau)

    def coefficients(self) -> dict[str, float]:
        """The temperature."""
        return {"alpha": math.exp(self._log_alpha.item())}

    def get_training_state(self) -> dict[str, Any]:
        """Counters and the temperature."""
        values = {name: value.numpy(force=True).copy() for name, value in self.curr_log_alpha.items()}
        return super().get_training_state() | {"curr_log_alpha": values}

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_training_state`` gave."""
        super().set_training_state(state)
        with torch.no_grad():
            for name, value in state["curr_log_alpha"].items():
                self.curr_log_alpha[name].copy_(torch.as_tensor(value))
