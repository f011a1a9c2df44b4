"""Statistics of a dataset or a saved replay buffer, in one pass over its files."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Split
from rayrl.experience.replay.saved import SCORE, TRAJECTORY_ID, TRAJECTORY_RETURN
from rayrl.experience.stored.distribution import Distribution, Moments
from rayrl.experience.stored.opening import Progress, Stored
from rayrl.storage.spaces import Spaces

_PART = np.dtype(
    [
        ("id", np.int64),
        ("steps", np.int64),
        ("rewards", np.float64),
        ("returned", np.float64),
        ("score", np.float64),
        ("split", np.uint8),
        ("terminated", np.bool_),
        ("truncated", np.bool_),
    ]
)
"""What is kept of each trajectory's part of a block of a saved buffer, until its parts are joined."""


def statistics(stored: Stored, progress: Progress | None = None) -> dict[str, Any]:
    """Lengths, returns, ends, actions, rewards and policy versions, as plain JSON values.

    The memory that it takes does not grow with the steps; with a saved buffer's trajectories it grows by some
    40 bytes each, since their parts lie in several blocks and are joined.

    Args:
        stored: what was opened.
        progress: told of steps.

    Returns:
        ``lengths``, ``returns`` (sum of the rewards of each trajectory) and ``rewards`` with count, missing
        (NaN), mean, std, min, quartiles and max; ``ends`` with trajectories ``terminated``, ``truncated`` and
        ``open``; ``actions`` with counts of each action or moments of each dimension; ``policy_versions``; of
        a buffer ``buffer``, what ``get_trajectory_statistics`` gives, and ``partitions``, what
        ``get_partition_statistics`` gives, except for blocks.

    Raises:
        IntegrityError: a file is missing, cut short or cannot be read.
    """
    stored.check()
    manifest = stored.buffer or stored.parts[0].manifest
    rewards, actions = Distribution(), _Actions(Spaces.from_json(manifest.spaces).action)
    versions = _Versions()
    trajectories = _Trajectories() if stored.buffer is None else _Parts()
    for _, batch in stored.batches(progress):
        steps: Any = batch.columns
        rewards.add(steps[c.REWARDS])
        actions.add(steps[c.ACTIONS])
        versions.add(batch)
        trajectories.add(batch)
    found = trajectories.to_json() | {
        "rewards": rewards.to_json(),
        "actions": actions.to_json(),
        "policy_versions": versions.to_json(),
    }
    if stored.buffer is None:
        return found
    return found | {
        "partitions": {
            one.name: {
                "steps": one.counters["steps_added"] - one.counters["steps_evicted"],
                "trajectories": one.counters["trajectories_added"] - one.counters["trajectories_evicted"],
                **stored.buffer.options.partitions[one.name].model_dump(),
                **one.counters,
            }
            for one in stored.buffer.partitions
        }
    }


class _Trajectories:
    """Of trajectories that each stand in one row."""

    def __init__(self) -> None:
        self._lengths, self._returns = Distribution(), Distribution()
        self._ends = {"terminated": 0, "truncated": 0, "open": 0}

    def add(self, batch: TrajectoryBatch) -> None:
        columns: Any = batch.trajectory_columns
        self._take(batch.lengths, _sums(batch), columns[c.TERMINATED], columns[c.TRUNCATED])

    def _take(self, lengths: Any, returns: Any, terminated: Any, truncated: Any) -> None:
        self._lengths.add(lengths)
        self._returns.add(returns)
        self._ends["terminated"] += int(terminated.sum())
        self._ends["truncated"] += int((truncated & ~terminated).sum())
        self._ends["open"] += int((~(terminated | truncated)).sum())

    def to_json(self) -> dict[str, Any]:
        return {"lengths": self._lengths.to_json(), "returns": self._returns.to_json(), "ends": self._ends}


class _Parts(_Trajectories):
    """Of trajectories that may stand in several rows, one for each block."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[NDArray[Any]] = []

    def add(self, batch: TrajectoryBatch) -> None:
        columns: Any = batch.trajectory_columns
        parts = np.zeros(batch.num_trajectories, _PART)
        parts["id"], parts["steps"], parts["rewards"] = columns[TRAJECTORY_ID], batch.lengths, _sums(batch)
        parts["returned"], parts["score"] = columns[TRAJECTORY_RETURN], columns[SCORE]
        parts["split"] = columns[c.SPLIT]
        parts["terminated"], parts["truncated"] = columns[c.TERMINATED], columns[c.TRUNCATED]
        self._parts.append(parts)

    def to_json(self) -> dict[str, Any]:
        parts = np.concatenate(self._parts) if self._parts else np.zeros(0, _PART)
        parts = parts[np.argsort(parts["id"], kind="stable")]
        first = np.flatnonzero(np.append(True, np.diff(parts["id"]) != 0)) if len(parts) else np.zeros(0, int)
        # What holds for a whole trajectory is known best at its last part.
        last = parts[np.append(first[1:], len(parts)) - 1] if len(parts) else parts
        lengths = np.add.reduceat(parts["steps"], first) if len(parts) else np.zeros(0, np.int64)
        rewards = np.add.reduceat(parts["rewards"], first) if len(parts) else np.zeros(0)
        self._take(lengths, rewards, last["terminated"], last["truncated"])
        scores = last["score"][~np.isnan(last["score"])]
        buffer: dict[str, Any] = {
            "num_trajectories": len(last),
            "num_train_trajectories": int((last["split"] == Split.train).sum()),
            "num_val_trajectories": int((last["split"] == Split.val).sum()),
            "num_steps": int(lengths.sum()),
        }
        for name, values in (
            ("length", lengths),
            ("return", last["returned"]),
            ("on_policiness_score", scores),
        ):
            if name == "on_policiness_score":
                buffer["num_scored_trajectories"] = len(scores)
            moments = Moments()
            moments.add(values)
            buffer |= {f"{kind}_{name}": value for kind, value in moments.to_json().items()}
        return super().to_json() | {"buffer": buffer}


class _Actions:
    """How often each action was taken, or the moments of each dimension."""

    def __init__(self, space: gym.Space) -> None:
        self._space = space
        self._counts: dict[int, int] = {}
        self._moments = Moments(tuple(space.shape or ()))

    def add(self, actions: NDArray[Any]) -> None:
        if not isinstance(self._space, gym.spaces.Discrete):
            self._moments.add(actions)
            return
        for action, count in zip(*np.unique(actions, return_counts=True), strict=True):
            self._counts[int(action)] = self._counts.get(int(action), 0) + int(count)

    def to_json(self) -> dict[str, Any]:
        kind = type(self._space).__name__
        if not isinstance(self._space, gym.spaces.Discrete):
            return {"space": kind, "shape": list(self._space.shape or ()), **self._moments.to_json()}
        counts = {str(action): count for action, count in sorted(self._counts.items())}
        return {"space": kind, "n": int(self._space.n), "counts": counts}


class _Versions:
    """Which versions of the policy acted."""

    def __init__(self) -> None:
        self._oldest: int | None = None
        self._newest: int | None = None

    def add(self, batch: TrajectoryBatch) -> None:
        columns: Any = batch.trajectory_columns
        if c.POLICY_VERSION_MIN in columns:
            oldest = int(columns[c.POLICY_VERSION_MIN].min())
            self._oldest = oldest if self._oldest is None else min(self._oldest, oldest)
        if c.POLICY_VERSION_MAX in columns:
            newest = int(columns[c.POLICY_VERSION_MAX].max())
            self._newest = newest if self._newest is None else max(self._newest, newest)

    def to_json(self) -> dict[str, Any]:
        return {"oldest": self._oldest, "newest": self._newest}


def _sums(batch: TrajectoryBatch) -> NDArray[np.float64]:
    rewards: Any = batch.columns[c.REWARDS]
    sums: NDArray[np.float64] = np.add.reduceat(rewards, batch.offsets[:-1], dtype=np.float64)
    return sums
