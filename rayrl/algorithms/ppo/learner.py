"""PPO's loss (Schulman et al. 2017) on whole columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from rayrl.algorithms.collective import sum_over_learners, time_limit
from rayrl.algorithms.device_columns import observed_in, observed_last, parts_of
from rayrl.algorithms.experience_data import ExperienceData
from rayrl.algorithms.gae import generalized_advantages
from rayrl.algorithms.learner import ColumnarLearner, Columns
from rayrl.algorithms.ppo.entropy import entropy_floor
from rayrl.algorithms.ppo.reference import REFERENCE_INPUTS, Anchor, ReferencePolicy
from rayrl.algorithms.reward_scaling import RewardScaler
from rayrl.algorithms.schedule import scheduled
from rayrl.algorithms.shuffling import sequences_of
from rayrl.errors import TrainingError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.models.observed import Observed
from rayrl.models.sequences import Function, evaluate_rows
from rayrl.models.weights import LoadReport

ADVANTAGES = "advantages"
VALUE_TARGETS = "value_targets"


class PPOLearner(ColumnarLearner):
    """Clipped surrogate, value and entropy losses, and what holds the policy near others.

    ``mean_kl_loss`` is the divergence from the policy that collected; with a reference, ``kl_ref`` is that
    from the reference.
    """

    statistics: Sequence[str] = (
        "policy_loss",
        "vf_loss",
        "entropy",
        "mean_kl_loss",
        "clip_fraction",
        "total_loss",
    )

    def build(self) -> None:
        """Builds the learner with its coefficients."""
        super().build()
        self._kl_coeff = float(self.config.kl_coeff)
        self._entropy_coeff = scheduled(self.config.entropy_coeff, 0)
        self._anchor: Anchor | None = None
        if self.config.kl_ref is not None:
            self._anchor = Anchor(self.config.kl_ref, self.policy.distribution)
            self.statistics = [*type(self).statistics, "kl_ref"]
        self._gradient_steps = 0
        self._beyond_target_kl = False
        self._reward_scaler = (
            RewardScaler(self.config.gamma, device=self._device) if self.config.normalize_rewards else None
        )

    def before_gradient_based_update(self, *, timesteps: Mapping[str, Any]) -> None:
        """Reads the schedules at the steps sampled so far, and holds the actor while the critic warms up."""
        super().before_gradient_based_update(timesteps=timesteps)
        step = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        self._entropy_coeff = scheduled(self.config.entropy_coeff, step)
        if self._anchor is not None:
            self._anchor.coefficient.read(step, self._gradient_steps)
        if self.config.critic_warmup_updates:
            held = self.policy.network.actor_parameters() if self._warming_up else frozenset()
            self._gradient.hold(held)

    @property
    def _warming_up(self) -> bool:
        return self._updates < int(self.config.critic_warmup_updates)

    def start_from(self, state: Mapping[str, NDArray[Any]], *, where: str) -> LoadReport:
        """Takes over the weights of a policy, which becomes the reference where there is to be one."""
        report = super().start_from(state, where=where)
        if self._anchor is not None:
            self._anchor.reference = ReferencePolicy(self.policy.network)
        return report

    def learn(self, training_data: TrainingData | None) -> tuple[int, dict[str, float]]:
        """One PPO update; the normalizer takes the observations in last, for the next rollout."""
        if not isinstance(training_data, ExperienceData):
            raise TrainingError(
                f"a {type(training_data).__name__} was given to PPO",
                remedy="pass training_data=ExperienceData(...)",
            )
        batch = training_data.fetch()
        columns = self.prepare(batch)
        used = {"curr_kl_coeff": self._kl_coeff, "curr_entropy_coeff": self._entropy_coeff}
        config = self.config
        results = self.run_epochs(
            columns, config.num_epochs, config.minibatch_size, self._sequences, self._observed.by_trajectory
        )
        self._gradient_steps += int(results["gradient_steps"])
        # What the policy does depends on the normalizer, too, so a policy that is held keeps it.
        if not (self.config.freeze_normalizer or self._warming_up):
            self.update_normalizer(self._observed)
        if self.config.use_kl_loss and self.config.kl_target is not None:
            self._adapt_kl_coeff(results["mean_kl_loss"])
            used["curr_kl_coeff"] = self._kl_coeff
        if self._anchor is not None:
            used["curr_kl_ref_coeff"] = self._anchor.coefficient.value
            if not self._warming_up:
                self._anchor.coefficient.adapt(results["kl_ref"], self._rows)
        if self.config.target_kl is not None:
            used["beyond_target_kl"] = float(self._beyond_target_kl)
        return batch.num_steps, {**results, "vf_explained_var": self._explained_variance, **used}

    def observe(
        self, *, training_data: ExperienceData, timesteps: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Takes some trajectories into the running statistics, and learns nothing from them.

        Args:
            training_data: trajectories, whoever acted.
            timesteps: has no meaning here.
        """
        with time_limit(self.config.learner_timeout_s):
            batch = training_data.fetch()
            self.update_normalizer(observed_in(batch, self._device))
            if self._reward_scaler is not None:
                rewards: Any = batch.columns[c.REWARDS]
                self._reward_scaler.scale(rewards, batch.offsets)
        return {}

    def end_epoch(self, sums: Tensor, rows: int) -> bool:
        """Whether the policy is further than ``target_kl`` from the one that collected, and is to stop there.

        All learners look at the mean over all their rows, once an epoch: that is the one time that the
        device is waited for.
        """
        if self.config.target_kl is None:
            return False
        kl = sums[self.statistics.index("mean_kl_loss")].clone()
        # Written so that NaN is beyond, too.
        self._beyond_target_kl = not sum_over_learners(kl).item() / rows <= self.config.target_kl
        return self._beyond_target_kl and self.config.target_kl_action != "warn"

    def prepare(self, batch: TrajectoryBatch) -> Columns:
        """Observations, actions, and the advantages and value targets that this policy gives them."""
        observed = self._observed = observed_in(batch, self._device)
        self._check_normalizer()
        offsets, states = batch.offsets, self._states(batch)
        acted = self._acted(batch, observed, states)
        final = observed_last(batch, observed, self._device)
        rewards: Any = batch.columns[c.REWARDS]
        if self._reward_scaler is not None:
            rewards = self._reward_scaler.scale(rewards, offsets)
        if self._anchor is not None:
            acted[REFERENCE_INPUTS] = self._reference_inputs(self._anchor, batch, observed)
            penalty = self._anchor.reward_penalty(acted, acted[REFERENCE_INPUTS])
            rewards = rewards if penalty is None else rewards - penalty
        after = self._forward(self.policy.network.states, observed, offsets, states)
        self._sequences = self.cut_sequences(offsets, states, after)
        values = self._values(observed, offsets, states)
        terminated: Any = batch.trajectory_columns[c.TERMINATED]
        advantages = generalized_advantages(
            rewards,
            values,
            # Each final observation is one step more, after its trajectory's last.
            self._values(final, np.arange(len(offsets)), after[torch.from_numpy(offsets[1:] - 1)]),
            terminated,
            offsets,
            gamma=self.config.gamma,
            lambda_=self.config.lambda_,
        )
        targets = advantages + values
        mean, deviation, self._explained_variance = self._moments(advantages, targets)
        return {
            **observed.columns,
            **acted,
            ADVANTAGES: self.to_device((advantages - np.float32(mean)) / np.float32(max(deviation, 1e-4))),
            VALUE_TARGETS: self.to_device(targets),
        }

    def loss(self, minibatch: Columns) -> tuple[Tensor, Tensor]:
        """Sums over rows of the loss and of the statistics."""
        config, distribution = self.config, self.policy.distribution
        parts = parts_of(minibatch)
        inputs, values = self.policy.policy_and_value(parts, sequences_of(minibatch))
        tempered = c.TEMPERATURE in minibatch
        acting = distribution.tempered(inputs, minibatch[c.TEMPERATURE]) if tempered else inputs
        logp = distribution.logp(acting, minibatch[c.ACTIONS])
        advantages = minibatch[ADVANTAGES]
        # ρ = π(a|s) / π_old(a|s), both at the temperature at which a was drawn
        log_ratio = logp - minibatch[c.ACTION_LOGP]
        ratio = torch.exp(log_ratio)
        clipped = ratio.clamp(1 - config.clip_param, 1 + config.clip_param)
        # L = -min(ρ A, clip(ρ, 1-ε, 1+ε) A) + c_v (V - G)² - c_e H
        #     + c_kl KL(π_old ‖ π) + c_h max(0, H_min - H) + β KL(π ‖ π_ref)
        policy_loss = -torch.minimum(ratio * advantages, clipped * advantages).sum()
        squared = (values.float() - minibatch[VALUE_TARGETS]).square()
        if config.vf_clip_param is not None:
            squared = squared.clamp(max=config.vf_clip_param)
        vf_loss = squared.sum()
        entropy = distribution.entropy(inputs).sum()
        total = policy_loss + config.vf_loss_coeff * vf_loss - self._entropy_coeff * entropy
        if config.use_kl_loss:
            kl = distribution.kl(minibatch[c.ACTION_DIST_INPUTS], inputs).sum()
            total = total + self._kl_coeff * kl
        if config.entropy_min is not None:
            missing = entropy_floor(entropy, len(logp), config.entropy_min)
            total = total + config.entropy_min_coeff * missing
        further: list[Tensor] = []
        if self._anchor is not None:
            kl_ref, penalty = self._anchor.loss(inputs, minibatch)
            total = total if penalty is None else total + penalty
            further.append(kl_ref)
        with torch.no_grad():
            if tempered and not config.use_kl_loss:
                # The samples below are of other distributions than those at temperature 1.
                kl = distribution.kl(minibatch[c.ACTION_DIST_INPUTS], inputs).sum()
            elif not config.use_kl_loss:
                # k3 of Schulman's "Approximating KL Divergence", of samples from π_old: (ρ - 1) - log ρ
                kl = (ratio - 1 - log_ratio).sum()
            clip_count = (ratio != clipped).sum()
            statistics = torch.stack([policy_loss, vf_loss, entropy, kl, clip_count, total, *further])
        return total, statistics.detach()

    def _states(self, batch: TrajectoryBatch) -> Tensor:
        """What the policy that collected remembered before each trajectory."""
        if c.STATE in batch.trajectory_columns:
            return self.to_device(batch.trajectory_columns[c.STATE])
        return self.policy.network.initial_state(batch.num_trajectories)

    def _acted(self, batch: TrajectoryBatch, observed: Observed, states: Tensor) -> Columns:
        """What was done, and by which distribution.

        Rollouts compute in fp32. Where the learner does not, it takes its own numbers for the same weights,
        since ratios of numbers of different precision would not start at 1.
        """
        names = [c.ACTIONS, c.ACTION_LOGP, c.ACTION_DIST_INPUTS]
        names += [c.TEMPERATURE] if c.TEMPERATURE in batch.columns else []
        acted = {name: self.to_device(batch.columns[name]) for name in names}
        if self.config.precision != "fp32":
            distribution = self.policy.distribution
            inputs = self._forward(self.policy.policy, observed, batch.offsets, states)
            acted[c.ACTION_DIST_INPUTS] = inputs
            if c.TEMPERATURE in acted:
                inputs = distribution.tempered(inputs, acted[c.TEMPERATURE])
            acted[c.ACTION_LOGP] = distribution.logp(inputs, acted[c.ACTIONS])
        return acted

    def _reference_inputs(self, anchor: Anchor, batch: TrajectoryBatch, observed: Observed) -> Tensor:
        if anchor.reference is None:
            raise TrainingError(
                "there is no policy to hold to, since training did not start from one",
                where="kl_ref",
                remedy="give the algorithm a policy by rayrl.algorithms.warm_start, or in an experiment use "
                "the condition with_pretrain; else leave kl_ref out",
            )
        with torch.no_grad(), self.autocast():
            return anchor.reference.inputs(observed, batch)

    def _check_normalizer(self) -> None:
        normalizer = self.policy.normalizer
        if self.config.freeze_normalizer and normalizer.enabled and normalizer.count == 0:
            raise TrainingError(
                "the normalizer is frozen before it has seen an observation",
                where="freeze_normalizer",
                remedy="give stabilization.steps, or start from a policy that brings its normalizer",
            )

    def _values(self, observed: Observed, offsets: NDArray[np.int64], states: Tensor) -> NDArray[np.float32]:
        values = self._forward(self.policy.value, observed, offsets, states)
        on_host: NDArray[np.float32] = values.cpu().numpy()
        return on_host

    def _forward(
        self, function: Function, observed: Observed, offsets: NDArray[np.int64], states: Tensor
    ) -> Tensor:
        with torch.no_grad(), self.autocast():
            return evaluate_rows(function, observed, offsets, states)

    def _moments(self, advantages: Any, targets: Any) -> tuple[float, float, float]:
        """Over all learners: mean and standard deviation of A, and 1 - Var(G - V)/Var(G), where G - V = A."""
        a, g = advantages.astype(np.float64), targets.astype(np.float64)
        sums = np.array([len(a), a.sum(), np.square(a).sum(), g.sum(), np.square(g).sum()])
        n, sum_a, squares_a, sum_g, squares_g = sum_over_learners(
            torch.from_numpy(sums).to(self._device)
        ).tolist()
        self._rows = int(n)
        mean = sum_a / n
        variance = max(squares_a / n - mean**2, 0.0)
        target_variance = max(squares_g / n - (sum_g / n) ** 2, 1e-12)
        return mean, variance**0.5, max(-1.0, 1.0 - variance / target_variance)

    def _adapt_kl_coeff(self, kl: float) -> None:
        """Schulman et al. 2017, §4, with RLlib's factors: ×1.5 above 2× the target, ×0.5 below half of it."""
        if kl > 2.0 * self.config.kl_target:
            self._kl_coeff *= 1.5
        elif kl < 0.5 * self.config.kl_target:
            self._kl_coeff *= 0.5

    def get_training_state(self) -> dict[str, Any]:
        """Counters, coefficients and the statistics that scale rewards."""
        state = super().get_training_state() | {
            "kl_coeff": self._kl_coeff,
            "entropy_coeff": self._entropy_coeff,
            "gradient_steps": self._gradient_steps,
        }
        if self._anchor is not None:
            state["anchor"] = self._anchor.get_state()
        if self._reward_scaler is not None:
            state["reward_moments"] = self._reward_scaler.moments.copy()
        return state

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_training_state`` gave."""
        super().set_training_state(state)
        self._kl_coeff = state["kl_coeff"]
        self._entropy_coeff = state["entropy_coeff"]
        self._gradient_steps = state["gradient_steps"]
        if self._anchor is not None and "anchor" in state:
            self._anchor.set_state(state["anchor"], self.policy.network)
        if self._reward_scaler is not None and "reward_moments" in state:
            self._reward_scaler.moments = state["reward_moments"].copy()
