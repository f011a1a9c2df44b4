"""One call of a collector, under way."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.batch import TrajectoryBatch
from rayrl.rollout.behavior import Behavior


@dataclass(slots=True)
class Call:
    """What a collector knows of the call that it answers."""

    behavior: Behavior
    policy_version: int
    wanted: NDArray[np.bool_] | None = None
    """``(N,)`` whose first episode from now on is to be kept, and no other; None where all steps are."""
    missing: NDArray[np.bool_] | None = None
    """``(N,)`` those of them that have not finished it."""
    rows: int = 0
    episodes: int = 0
    resets: int = 0
    failures: int = 0
    parts: list[TrajectoryBatch] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
