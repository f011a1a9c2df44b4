"""What to draw: one step, a window, or a whole trajectory at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.replay.groups import Where

if TYPE_CHECKING:
    from rayrl.experience.replay.samplers.base import Sampler


@dataclass(frozen=True, slots=True)
class Transitions:
    """Single steps, each with its n-step return.

    Args:
        n_step: most steps of a return; where the trajectory ends before, it has fewer.
        gamma: discount γ.
    """

    n_step: int = 1
    gamma: float = 0.99

    def __post_init__(self) -> None:
        if self.n_step < 1:
            raise ValueError(f"n_step is {self.n_step}, and at least 1")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma is {self.gamma}, not in [0, 1]")

    def items(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many there are in trajectories of these lengths."""
        return lengths

    def __str__(self) -> str:
        return "steps"


@dataclass(frozen=True, slots=True)
class Fragments:
    """Windows of consecutive steps of one trajectory.

    Args:
        length: steps of each.
    """

    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"the length of a fragment is {self.length}, and at least 1")

    def items(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many there are in trajectories of these lengths."""
        return np.maximum(lengths - self.length + 1, 0)

    def __str__(self) -> str:
        return f"fragments of {self.length} steps"


@dataclass(frozen=True, slots=True)
class Trajectories:
    """Whole trajectories.

    Args:
        min_length: fewest steps of each.
    """

    min_length: int = 1

    def items(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many there are in trajectories of these lengths: one, or none."""
        return (lengths >= self.min_length).astype(np.int64)

    def __str__(self) -> str:
        return f"trajectories of at least {self.min_length} steps" if self.min_length > 1 else "trajectories"


Target = Transitions | Fragments | Trajectories


@dataclass(frozen=True, slots=True)
class Request:
    """What to draw, from where, how, and which columns of it.

    Args:
        target: what an item is.
        sampler: how likely each item is.
        where: which trajectories items are from.
        columns: step columns wanted beside those of the observation, the actions and the rewards; None: all.
    """

    target: Target
    sampler: Sampler
    where: Where = field(default_factory=Where)
    columns: tuple[str, ...] | None = None

    def __str__(self) -> str:
        where = str(self.where)
        return f"{self.target} with {where}" if where else str(self.target)


@dataclass(frozen=True, slots=True)
class Picked:
    """Where drawn items begin, each ``(n,)``.

    Args:
        block: entries of the blocks, with ``row`` the first row of each item.
        row: rows of these blocks.
        offset: of the row ids within the blocks, where the draw was by row id.
        weights: how much each weighed in the draw, where not all weighed the same.
    """

    block: NDArray[np.int64]
    row: NDArray[np.int64]
    offset: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.block)

    @staticmethod
    def join(parts: list[Picked]) -> Picked:
        """Draws one after another; they must be of one kind."""

        def joined(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return None if any(array is None for array in arrays) else np.concatenate(arrays)

        return Picked(*(joined(name) for name in ("block", "row", "offset", "weights")))

    def take(self, order: NDArray[np.int64]) -> Picked:
        """Some of the items, in the order given."""
        offset = None if self.offset is None else self.offset[order]
        weights = None if self.weights is None else self.weights[order]
        return Picked(self.block[order], self.row[order], offset, weights)
