"""Behaviour cloning: the policy's log-likelihood of the demonstrated actions, maximized over columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.training_data import TrainingData
from torch import Tensor

from rayrl.algorithms.bc.data import DemonstrationData, Demonstrations
from rayrl.algorithms.collective import rank, sum_over_learners, world_size
from rayrl.algorithms.learner import ColumnarLearner, Columns
from rayrl.errors import TrainingError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Ragged

_ROWS = 16_384
"""Rows that are measured at once."""


class BCLearner(ColumnarLearner):
    """One epoch an update; keeps the weights that did best on the validation split."""

    statistics = ("train_loss", "entropy")

    def build(self) -> None:
        """Builds the learner; the dataset is read with the first epoch."""
        super().build()
        self._train: Columns | None = None
        self._val: Columns = {}
        self._best_loss = math.inf
        self._best_epoch = 0
        self._best_weights: dict[str, np.ndarray[Any, Any]] = {}

    def learn(self, training_data: TrainingData) -> tuple[int, dict[str, float]]:
        """One epoch over the training split, then a look at both splits."""
        if not isinstance(training_data, DemonstrationData):
            raise TrainingError(
                f"a {type(training_data).__name__} was given to behaviour cloning",
                remedy="pass training_data=DemonstrationData(path)",
            )
        train = self._train if self._train is not None else self._read(training_data.path)
        rows = len(train[c.ACTIONS])
        results = self.run_epochs(train, 1, self.config.minibatch_size)
        results |= {f"train_{name}": value for name, value in self._measure(train).items() if name != "loss"}
        results |= {f"val_{name}": value for name, value in self._measure(self._val).items()}
        self._remember_best(results.get("val_loss", results["train_loss"]))
        return rows, results | {"best_epoch": float(self._best_epoch), "best_loss": self._best_loss}

    def loss(self, minibatch: Columns) -> tuple[Tensor, Tensor]:
        """Sums over rows of -log π(a|s), and of the entropy."""
        inputs = self.policy.policy({name: minibatch[name] for name in self._parts})
        # L = -log π(a|s)
        loss = -self.policy.distribution.logp(inputs, minibatch[c.ACTIONS]).sum()
        with torch.no_grad():
            entropy = self.policy.distribution.entropy(inputs).sum()
        return loss, torch.stack([loss, entropy]).detach()

    def _read(self, path: str) -> Columns:
        config = self.config
        data = Demonstrations.open(
            path,
            val_fraction=config.val_fraction,
            seed=config.seed,
            rank=rank(),
            learners=world_size(),
            fit_all=config.fit_all,
        )
        self._train, self._val = self._columns(data.train), self._columns(data.val)
        self._parts = tuple(name for name in self._train if name != c.ACTIONS)
        if self._updates == 0:
            # From the training split alone, and before anything is learned: the policy is cloned with it.
            self.update_normalizer({name: self._train[name] for name in self._parts})
        return self._train

    def _columns(self, batch: TrajectoryBatch) -> Columns:
        actions = batch.columns[c.ACTIONS]
        if isinstance(actions, Ragged):
            raise TrainingError("ragged actions cannot be cloned", where=c.ACTIONS)
        own = self.policy.distribution.from_env(actions)
        return {**self.observations(batch.columns), c.ACTIONS: self.to_device(own)}

    @torch.no_grad()
    def _measure(self, columns: Columns) -> dict[str, float]:
        """Mean loss over all learners' rows, and how often (or how far) the mode is the action shown."""
        distribution = self.policy.distribution
        sums = torch.zeros(3, dtype=torch.float64)
        for start in range(0, len(columns[c.ACTIONS]), _ROWS):
            part = {name: column[start : start + _ROWS] for name, column in columns.items()}
            with self.autocast():
                inputs = self.policy.policy({name: part[name] for name in self._parts})
            loss = -distribution.logp(inputs, part[c.ACTIONS]).double().sum()
            mode = distribution.mode(inputs.float().cpu().numpy())
            actions = part[c.ACTIONS].cpu().numpy()
            sums += torch.tensor([len(actions), loss.item(), _agreement(mode, actions)], dtype=torch.float64)
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


def _agreement(mode: np.ndarray[Any, Any], actions: np.ndarray[Any, Any]) -> float:
    """Summed over rows: 1 where a discrete action is the same; of a continuous one the mean error."""
    rows = mode.reshape(len(mode), -1), actions.reshape(len(actions), -1)
    if np.issubdtype(actions.dtype, np.floating):
        return float(np.abs(rows[0] - rows[1]).mean(axis=1).sum())
    return float((rows[0] == rows[1]).all(axis=1).sum())
