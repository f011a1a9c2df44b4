"""Behaviour cloning: the policy's log-likelihood of the demonstrated actions, maximized over columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.training_data import TrainingData
from torch import Tensor

from rayrl.algorithms.bc.agreement import agreement_of
from rayrl.algorithms.bc.data import DemonstrationData, Demonstrations
from rayrl.algorithms.bc.schedule import LearningRate
from rayrl.algorithms.bc.smoothing import smoothed_loss
from rayrl.algorithms.bc.weighting import WEIGHT, ReturnWeights
from rayrl.algorithms.collective import rank, sum_over_learners, world_size
from rayrl.algorithms.device_columns import observed_in, parts_of
from rayrl.algorithms.learner import ColumnarLearner, Columns
from rayrl.algorithms.shuffling import sequences_of
from rayrl.config.seeding import Role, generator
from rayrl.errors import TrainingError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Ragged
from rayrl.models.observed import Observed
from rayrl.models.sequences import Index, chunks


@dataclass(frozen=True, slots=True)
class Shown:
    """Demonstrations on the device.

    Args:
        observed: what the demonstrators saw.
        columns: ``(rows, ...)`` of it, of what they did, and of its weights.
        offsets: trajectory i is rows ``offsets[i]:offsets[i + 1]``.
    """

    observed: Observed
    columns: Columns
    offsets: Index


class BCLearner(ColumnarLearner):
    """One epoch an update; keeps the weights that did best on the validation split."""

    statistics = ("train_loss", "objective", "entropy")

    def build(self) -> None:
        """Builds the learner; the dataset is read with the first epoch."""
        super().build()
        self._train: Shown | None = None
        self._best_loss = math.inf
        self._best_epoch = 0
        self._best_weights: dict[str, np.ndarray[Any, Any]] = {}
        self._noise = torch.Generator(self._device)

    def learn(self, training_data: TrainingData) -> tuple[int, dict[str, float]]:
        """One epoch over the training split, then a look at both splits."""
        if not isinstance(training_data, DemonstrationData):
            raise TrainingError(
                f"a {type(training_data).__name__} was given to behaviour cloning",
                remedy="pass training_data=DemonstrationData(path)",
            )
        train = self._train if self._train is not None else self._read(training_data.path)
        rows = len(train.columns[c.ACTIONS])
        numbers = generator(self.config.seed, Role.pretraining, rank(), self._updates)
        self._noise.manual_seed(int(numbers.integers(2**63)))
        self._gradient_steps = self._updates * self._steps_an_epoch
        results = self.run_epochs(
            train.columns, 1, self.config.minibatch_size, self._sequences, train.observed.by_trajectory
        )
        ceiling, held_out = self._measure(train), self._measure(self._val)
        results |= {f"train_{name}": value for name, value in ceiling.items() if name != "loss"}
        results |= {f"val_{name}": value for name, value in held_out.items()}
        self._remember_best(results.get("val_loss", results["train_loss"]))
        return rows, results | {"best_epoch": float(self._best_epoch), "best_loss": self._best_loss}

    def loss(self, minibatch: Columns) -> tuple[Tensor, Tensor]:
        """Sums over rows of what is minimized; of -log π(a|s), of the former, and of the entropy."""
        parts = parts_of(minibatch)
        parts = self._noisy(parts) if self.config.input_noise else parts
        inputs = self.policy.policy(parts, sequences_of(minibatch))
        # L = -log π(a|s)
        nll = -self.policy.distribution.logp(inputs, minibatch[c.ACTIONS])
        loss = nll
        if self.config.label_smoothing:
            loss = smoothed_loss(inputs, nll, self.config.label_smoothing)
        if WEIGHT in minibatch:
            loss = minibatch[WEIGHT] * loss
        objective = loss.sum()
        with torch.no_grad():
            entropy = self.policy.distribution.entropy(inputs).sum()
        return objective, torch.stack([nll.sum(), objective, entropy]).detach()

    def _noisy(self, parts: Columns) -> Columns:
        """The parts that are standardized, with noise of ``input_noise`` standard deviations."""
        noisy = dict(parts)
        for name, unit in self.policy.normalizer.spreads().items():
            x = parts[name].float()
            drawn = torch.randn(x.shape, generator=self._noise, device=x.device)
            noisy[name] = x + self.config.input_noise * unit.to(x.device) * drawn
        return noisy

    def _step(self, minibatch: Columns, total: int) -> tuple[Tensor, Tensor, Tensor]:
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate.at(self._gradient_steps)
        self._gradient_steps += 1
        return super()._step(minibatch, total)

    def _read(self, path: str) -> Shown:
        config = self.config
        data = Demonstrations.open(
            path,
            val_fraction=config.val_fraction,
            seed=config.seed,
            rank=rank(),
            learners=world_size(),
            fit_all=config.fit_all,
            balance=config.balance,
            returns=ReturnWeights(config.return_weight, config.return_gamma),
        )
        train, self._val = self._shown(data.train), self._shown(data.val)
        self._train = train
        # Nobody knows what another's memory would have been: sequences within an episode begin without.
        states = self.policy.network.initial_state(data.train.num_trajectories)
        self._sequences = self.cut_sequences(train.offsets, states)
        if self._updates == 0 and not self._is_normalized():
            # From the training split alone, and before anything is learned: the policy is cloned with it.
            self.update_normalizer(train.observed)
        steps = self.shuffled(train.columns, config.minibatch_size, self._sequences).steps
        self._steps_an_epoch = steps
        self._learning_rate = LearningRate(
            config.lr,
            config.lr_schedule,
            config.lr_final,
            config.warmup_steps,
            total=config.schedule_epochs * steps,
        )
        return train

    def _is_normalized(self) -> bool:
        """Whether the policy came with moments, which its weights were learned with."""
        normalizer = self.policy.normalizer
        return normalizer.enabled and bool(normalizer.count > 0)

    def _shown(self, batch: TrajectoryBatch) -> Shown:
        actions = batch.columns[c.ACTIONS]
        if isinstance(actions, Ragged):
            raise TrainingError("ragged actions cannot be cloned", where=c.ACTIONS)
        own = self.policy.distribution.from_env(actions)
        weight = {WEIGHT: self.to_device(batch.columns[WEIGHT])} if WEIGHT in batch.columns else {}
        observed = observed_in(batch, self._device)
        return Shown(observed, observed.columns | {c.ACTIONS: self.to_device(own)} | weight, batch.offsets)

    @torch.no_grad()
    def _measure(self, shown: Shown) -> dict[str, float]:
        """Mean loss over all learners' rows, and how often (or how far) the mode is the action shown.

        What is held out has weights only of returns, and its loss is by them.
        """
        distribution = self.policy.distribution
        sums = torch.zeros(3, dtype=torch.float64)
        states = self.policy.network.initial_state(len(shown.offsets) - 1)
        for rows, sequences in chunks(shown.offsets, states):
            with self.autocast():
                inputs = self.policy.policy(shown.observed.take(rows), sequences)
            taken = shown.columns[c.ACTIONS][rows]
            nll = -distribution.logp(inputs, taken).double()
            loss = (shown.columns[WEIGHT][rows] * nll if WEIGHT in shown.columns else nll).sum()
            mode = distribution.mode(inputs.float().cpu().numpy())
            actions = taken.cpu().numpy()
            agreement = agreement_of(mode, actions).sum()
            sums += torch.tensor([len(actions), loss.item(), agreement], dtype=torch.float64)
        n, loss_sum, agreement = sum_over_learners(sums.to(self._device)).tolist()
        if not n:
            return {}
        return {"loss": loss_sum / n, self.config.agreement_name(distribution.space): agreement / n}

    def _remember_best(self, loss: float) -> None:
        if loss < self._best_loss:
            self._best_loss, self._best_epoch = loss, self._updates + 1
            self._best_weights = self.policy.get_state()

    def best_weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """The weights of the epoch with the lowest validation loss."""
        return self._best_weights

    def get_training_state(self) -> dict[str, Any]:
        """Counters, and the best weights so far."""
        return super().get_training_state() | {
            "best_loss": self._best_loss,
            "best_epoch": self._best_epoch,
            "best_weights": self._best_weights,
        }

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_training_state`` gave."""
        super().set_training_state(state)
        self._best_loss, self._best_epoch = state["best_loss"], state["best_epoch"]
        self._best_weights = state["best_weights"]
