"""Observations of many rows, some parts of which are the same through a trajectory and held once for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

Columns = dict[str, torch.Tensor]

TRAJECTORY = "trajectory"
"""Column of the trajectory of each row, by which a minibatch gets what is held once for a trajectory."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of the observations of R rows of n trajectories.

    Args:
        by_row: (R, ...) each.
        by_trajectory: (n, ...) each, of parts that do not change within a trajectory.
        trajectory: (R,) int64, the trajectory of each row; empty where there are no such parts.
    """

    by_row: Columns
    by_trajectory: Columns = field(default_factory=dict)
    trajectory: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    @property
    def columns(self) -> Columns:
        """What there is of each row, (R, ...), with ``TRAJECTORY`` where there are parts besides."""
        return self.by_row | ({TRAJECTORY: self.trajectory} if self.by_trajectory else {})

    def take(self, rows: torch.Tensor | slice) -> Columns:
        """All parts of some rows, (k, ...), as networks read them."""
        taken = {name: part[rows] for name, part in self.by_row.items()}
        return taken | expanded(self.by_trajectory, self.trajectory[rows] if self.by_trajectory else None)

    def of(self, names: Iterable[str]) -> Columns:
        """Some parts of all rows, (R, ...)."""
        wanted = set(names)
        once = {name: part for name, part in self.by_trajectory.items() if name in wanted}
        found = {name: part for name, part in self.by_row.items() if name in wanted}
        return found | expanded(once, self.trajectory)


def expanded(by_trajectory: Columns, trajectory: torch.Tensor | None) -> Columns:
    """Parts that are held once for each trajectory, for rows (k,) of which the trajectory is given."""
    if trajectory is None:
        return {}
    return {name: part.index_select(0, trajectory) for name, part in by_trajectory.items()}
