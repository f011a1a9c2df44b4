"""What a draw gives: columns as arrays, and the usual ones as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import unflatten_observation
from rayrl.experience.ragged import Column, Ragged

if TYPE_CHECKING:
    import torch

NEXT_OBS = "next_obs"
DISCOUNTS = "discounts"
N_STEPS = "n_steps"


class Tensors:
    """The usual columns as tensors; those of a Dict space are nested dictionaries.

    Attributes:
        columns: by name; each has the items, or the steps, as its first axis.
        device: where the tensors go.
    """

    columns: Mapping[str, Column]
    device: str

    @property
    def obs(self) -> Any:
        """The observations that the actions were chosen on."""
        return self._nested(c.OBS)

    @property
    def actions(self) -> torch.Tensor:
        """The actions."""
        return self.tensor(c.ACTIONS)

    @property
    def rewards(self) -> torch.Tensor:
        """The rewards, float32; of transitions the n-step returns."""
        return self.tensor(c.REWARDS)

    @property
    def dones(self) -> torch.Tensor:
        """Whether the episode ended with the step, terminated or truncated; bool."""
        return self.tensor(c.TERMINATED) | self.tensor(c.TRUNCATED)

    def tensor(self, name: str) -> torch.Tensor:
        """A column as a tensor.

        Raises:
            DataError: there is no such column, or its rows are of different lengths.
        """
        import torch

        if name not in self.columns:
            raise DataError(f"no column {name!r} among {', '.join(self.columns)}")
        column = self.columns[name]
        if isinstance(column, Ragged):
            raise DataError("its rows have different lengths, and make no tensor", where=name)
        array = column if column.flags.writeable else column.copy()
        return torch.from_numpy(array).to(self.device)

    def _nested(self, prefix: str) -> Any:
        names = [name for name in self.columns if name == prefix or name.startswith(f"{prefix}/")]
        return unflatten_observation({name: self.tensor(name) for name in names}, prefix)


@dataclass(frozen=True, slots=True)
class TransitionSample(Tensors):
    """Single steps.

    Args:
        columns: ``(n, ...)`` each: observation parts, ``actions``, ``rewards`` (the n-step return, float32),
            parts of ``next_obs`` (after the last step of the return), ``discounts`` (float32 γᵐ, m the steps
            of the return), ``n_steps`` (m), ``terminated`` and ``truncated`` (whether the episode ended
            there), and extra columns of the first step.
        row_ids: int64 ``(n,)``, for updates of priorities.
        shards: int64 ``(n,)`` which shard each is from.
        weights: float32 ``(n,)`` importance weights, of prioritized draws.
        device: where the tensors go.
    """

    columns: dict[str, Column]
    row_ids: NDArray[np.int64]
    shards: NDArray[np.int64]
    weights: NDArray[Any] | None
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def next_obs(self) -> Any:
        """The observations after the last step of each return."""
        return self._nested(NEXT_OBS)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Samples one after another."""
        if len(parts) == 1:
            return parts[0]
        weights: Any = [part.weights for part in parts]
        return cls(
            _join([part.columns for part in parts]),
            np.concatenate([part.row_ids for part in parts]),
            np.concatenate([part.shards for part in parts]),
            None if weights[0] is None else np.concatenate(weights),
            parts[0].device,
        )

    def take(self, order: NDArray[np.int64]) -> Self:
        """Some of the items, in the order given."""
        weights = None if self.weights is None else self.weights[order]
        columns = {name: _take(column, order) for name, column in self.columns.items()}
        rows, shards = self.row_ids[order], self.shards[order]
        return replace(self, columns=columns, row_ids=rows, shards=shards, weights=weights)


@dataclass(frozen=True, slots=True)
class FragmentSample(Tensors):
    """Windows of consecutive steps of one trajectory.

    Args:
        columns: ``(n, length, ...)`` each: all step columns, ``terminated`` and ``truncated`` (whether the
            episode ended with the step, which only the last one of a fragment can). A ragged column has n ·
            length rows, fragment after fragment.
        length: steps of each.
        device: where the tensors go.
    """

    columns: dict[str, Column]
    length: int
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.columns[c.TERMINATED])

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Samples one after another."""
        return cls(_join([part.columns for part in parts]), parts[0].length, parts[0].device)

    def take(self, order: NDArray[np.int64]) -> Self:
        """Some of the items, in the order given."""
        rows = (order[:, None] * self.length + np.arange(self.length)).reshape(-1)
        columns = {
            name: _take(column, rows if isinstance(column, Ragged) else order)
            for name, column in self.columns.items()
        }
        return replace(self, columns=columns)


@dataclass(frozen=True, slots=True)
class TrajectorySample(Tensors):
    """Whole trajectories, laid end to end.

    Args:
        batch: the trajectories; the columns of each are those of its last part.
        device: where the tensors go.
    """

    batch: TrajectoryBatch
    device: str = "cpu"

    def __len__(self) -> int:
        return self.batch.num_trajectories

    @property
    def offsets(self) -> NDArray[np.int64]:
        """``(n + 1,)``: trajectory i is rows ``offsets[i]:offsets[i + 1]``."""
        return self.batch.offsets

    @property
    def columns(self) -> dict[str, Column]:  # type: ignore[override]
        """``(steps, ...)`` each: step columns, ``terminated`` and ``truncated`` (true of last steps only)."""
        ends = self.batch.offsets[1:] - 1
        flags: dict[str, Column] = {}
        for name in (c.TERMINATED, c.TRUNCATED):
            flag = np.zeros(self.batch.num_steps, np.bool_)
            flag[ends] = self.batch.trajectory_columns[name]
            flags[name] = flag
        return self.batch.columns | flags

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Samples one after another."""
        return cls(TrajectoryBatch.concat([part.batch for part in parts]), parts[0].device)

    def take(self, order: NDArray[np.int64]) -> Self:
        """Some of the items, in the order given."""
        return replace(self, batch=self.batch.select(order))


Sample = TransitionSample | FragmentSample | TrajectorySample


def _join(parts: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    return {name: _concatenate([part[name] for part in parts]) for name in parts[0]}


def _concatenate(parts: Sequence[Any]) -> Column:
    return Ragged.concat(parts) if isinstance(parts[0], Ragged) else np.concatenate(parts)


def _take(column: Column, rows: NDArray[np.int64]) -> Column:
    return column.take(rows) if isinstance(column, Ragged) else column[rows]
