"""How the rows of all learners are cut into minibatches, so that N learners do what one would.

Every learner cuts its own rows into the same number M of nearly equal parts; minibatch m is the union of the
learners' m-th parts. Since all take part in each of the M steps, none waits for a step that another skips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MinibatchPlan:
    """The cuts of one learner.

    Args:
        bounds: ``(M + 1,)`` part m is rows ``bounds[m]:bounds[m + 1]`` of the shuffled rows.
        totals: ``(M,)`` rows of minibatch m over all learners.
    """

    bounds: NDArray[np.int64]
    totals: NDArray[np.int64]

    @property
    def steps(self) -> int:
        """M, the number of minibatches of an epoch."""
        return len(self.totals)


def plan_minibatches(rows: Sequence[int], rank: int, minibatch_size: int | None) -> MinibatchPlan:
    """Plans one epoch.

    Args:
        rows: rows of each learner.
        rank: the learner to plan for.
        minibatch_size: rows of a minibatch per learner, about; None for all at once.
    """
    largest = max(rows)
    steps = 1 if minibatch_size is None else max(1, int(largest / minibatch_size + 0.5))
    bounds = np.stack([cut_evenly(n, steps) for n in rows])
    return MinibatchPlan(bounds[rank], np.diff(bounds, axis=1).sum(axis=0))


def cut_evenly(rows: int, parts: int) -> NDArray[np.int64]:
    """``(parts + 1,)`` bounds of parts that differ by at most one row."""
    return np.arange(parts + 1) * rows // parts
