"""ReplayData: RLlib's training data, made of draws from replay that each learner fetches for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.learner.training_data import TrainingData

from rayrl.errors import TrainingError
from rayrl.experience.ragged import Column, Ragged
from rayrl.experience.replay.samples import TransitionSample
from rayrl.experience.replay.union import Drawn


class Ratings(NamedTuple):
    """The TD errors of the steps of an update, which become their priorities; arrays or references to such.

    Args:
        row_ids: int64 ``(n,)``.
        shards: int64 ``(n,)`` which shard each step is from.
        td_errors: float32 ``(n,)``, absolute.
    """

    row_ids: Any
    shards: Any
    td_errors: Any


@dataclass
class ReplayData(TrainingData):
    """Steps to learn from, of several minibatches each.

    Args:
        draws: for each learner what was drawn for it, of each partition: minibatch m of M is made of the m-th
            of M equal parts of each draw.
        due: int64 ``(M,)`` of each minibatch the environment steps that called for it, rising.
    """

    draws: Sequence[Sequence[Drawn]] = field(default_factory=list)
    due: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def steps(self) -> int:
        """Minibatches."""
        return len(self.due)

    def validate(self) -> None:
        """Checks that there is something to learn from.

        Raises:
            TrainingError: there is nothing.
        """
        if not self.draws or self.steps < 1:
            raise TrainingError("an update was given no draw from replay")

    def shard(self, num_shards: int, **kwargs: Any) -> list[tuple[ReplayData, dict[str, Any]]]:
        """Each learner's draw.

        Raises:
            TrainingError: there are not as many draws as learners.
        """
        if num_shards != len(self.draws):
            raise TrainingError(f"{len(self.draws)} draws for {num_shards} learners")
        return [(ReplayData(draws=[draw], due=self.due), {}) for draw in self.draws]

    def solve_refs(self) -> None:
        """Nothing: the learner fetches its draw."""

    def fetch(self) -> TransitionSample:
        """The one learner's steps, minibatch after minibatch; importance weights are not scaled yet."""
        (draws,) = self.draws
        samples: list[TransitionSample] = [draw.fetch(scaled=False) for draw in draws]
        return samples[0] if len(samples) == 1 else _interleaved(samples, self.steps)


def _interleaved(samples: Sequence[TransitionSample], steps: int) -> TransitionSample:
    """Of each of several samples the first of ``steps`` equal parts, then of each the second, and so on."""
    starts = np.append(0, np.cumsum([len(sample) for sample in samples]))
    parts = [np.arange(a, b).reshape(steps, -1) for a, b in pairwise(starts)]
    order = np.concatenate(parts, axis=1).reshape(-1)
    weights = [
        np.ones(len(sample), np.float32) if sample.weights is None else sample.weights for sample in samples
    ]
    weighted = any(sample.weights is not None for sample in samples)
    columns = {
        name: _joined([sample.columns[name] for sample in samples], order) for name in samples[0].columns
    }
    return TransitionSample(
        columns,
        np.concatenate([sample.row_ids for sample in samples])[order],
        np.concatenate([sample.shards for sample in samples])[order],
        np.concatenate(weights)[order] if weighted else None,
        samples[0].device,
    )


def _joined(parts: Sequence[Any], order: NDArray[np.int64]) -> Column:
    if isinstance(parts[0], Ragged):
        return Ragged.concat(parts).take(order)
    joined: Column = np.concatenate(parts)[order]
    return joined
