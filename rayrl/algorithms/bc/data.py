"""DemonstrationData: an epoch over a dataset, which each learner reads for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.rllib.core.learner.training_data import TrainingData

from rayrl.algorithms.bc.weighting import WEIGHT, ReturnWeights, balanced_weights
from rayrl.algorithms.pretrain_options import Balance
from rayrl.errors import DataError, TrainingError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Split
from rayrl.experience.dataset import open_dataset
from rayrl.experience.split import select_split, with_split


@dataclass
class DemonstrationData(TrainingData):
    """Names the dataset; nothing of it travels.

    Args:
        path: the dataset's folder, as every learner sees it.
    """

    path: str = ""

    def validate(self) -> None:
        """Checks that a dataset is named.

        Raises:
            TrainingError: there is none.
        """
        if not self.path:
            raise TrainingError("an epoch was given no dataset")

    def shard(self, num_shards: int, **kwargs: Any) -> list[tuple[DemonstrationData, dict[str, Any]]]:
        """The same for every learner; each takes the trajectories of its rank."""
        return [(self, {}) for _ in range(num_shards)]

    def solve_refs(self) -> None:
        """Nothing: the learner opens the dataset once, and keeps it."""


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """One learner's share of a dataset.

    Args:
        train: trajectories to learn from.
        val: trajectories to measure on.
    """

    train: TrajectoryBatch
    val: TrajectoryBatch

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        val_fraction: float,
        seed: int,
        rank: int,
        learners: int,
        fit_all: bool = False,
        balance: Sequence[Balance] = (),
        returns: ReturnWeights | None = None,
    ) -> Demonstrations:
        """Reads a dataset and takes one learner's part of both sides of the split.

        Args:
            path: the dataset's folder.
            val_fraction: share of the episodes to measure on.
            seed: another seed gives another split.
            rank: the learner.
            learners: how many share the dataset.
            fit_all: let ``train`` have the episodes of ``val`` as well.
            balance: what is to weigh the same in ``train``, which then has a column ``weight``.
            returns: what steps weigh by their returns; both sides then have that column.

        Raises:
            IntegrityError: the dataset is damaged.
            DataError: there is nothing to learn from, or nobody to balance.
        """
        batch = open_dataset(path).load()
        # Demonstrators differ in how well they can be cloned: each is measured by its share.
        strata = c.DEMONSTRATOR if c.DEMONSTRATOR in batch.trajectory_columns else None
        batch = with_split(batch, val_fraction, seed, strata=strata)
        train = batch if fit_all else select_split(batch, Split.train)
        val = select_split(batch, Split.val)
        if not train.num_steps:
            raise DataError("the dataset has no demonstrations to learn from", where=str(path))
        weight = balanced_weights(train, balance) if balance else None
        if returns is not None and returns.beta:
            by_return, held_out = returns.of(train, val)
            weight = by_return if weight is None else by_return * weight / (by_return * weight).mean()
            val = val.with_columns(**{WEIGHT: held_out})
        if weight is not None:
            train = train.with_columns(**{WEIGHT: weight})
        return cls(train.split_by_rows(learners)[rank], val.split_by_rows(learners)[rank])
