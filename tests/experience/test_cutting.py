"""Cutting a batch within a trajectory gives two batches that say what a rollout would have said."""

from typing import Any

import numpy as np

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.cutting import cut
from rayrl.experience.ragged import Ragged, offsets_of


def example() -> TrajectoryBatch:
    """Two trajectories, of 2 and 4 steps; the second begins at step 3 of an episode that it ends."""
    shown = np.array([10, 11, 23, 24, 25, 26], np.float32)
    return TrajectoryBatch(
        {"obs": shown, "rewards": shown, "actions": shown},
        offsets_of([2, 4]),
        {
            "episode_id": np.array([[0, 1], [0, 2]], np.uint64),
            "first_step": np.array([0, 3]),
            "terminated": np.array([False, True]),
            "truncated": np.array([False, False]),
            "final_obs": np.array([12, 27], np.float32),
            "return_so_far": np.array([21.0, 200.0]),
            "episode_return": np.array([np.nan, 200.0]),
            "domain": Ragged.from_text(["a", "b"]),
        },
    )


def test_within_a_trajectory() -> None:
    head, tail = cut(example(), 4)
    for part in (head, tail):
        part.validate()
    first: Any = head.trajectory_columns
    assert head.offsets.tolist() == [0, 2, 4]
    assert first["terminated"].tolist() == [False, False]
    assert first["final_obs"].tolist() == [12, 25]
    assert first["return_so_far"].tolist() == [21, 200 - 25 - 26]
    assert np.isnan(first["episode_return"]).all()
    assert first["domain"].to_text() == ["a", "b"]
    second: Any = tail.trajectory_columns
    assert tail.columns["obs"].tolist() == [25, 26]  # type: ignore[union-attr]
    assert (second["first_step"].tolist(), second["terminated"].tolist()) == ([5], [True])
    assert (second["return_so_far"].tolist(), second["episode_return"].tolist()) == ([200], [200])
    assert second["domain"].to_text() == ["b"]


def test_between_trajectories_and_at_the_ends() -> None:
    batch = example()
    head, tail = cut(batch, 2)
    assert (head, tail) == (batch.slice(0, 1), batch.slice(1, 2))
    assert cut(batch, 0)[1] == batch
    assert cut(batch, 6)[0] is batch
    assert cut(batch, 6)[1].num_trajectories == 0
    assert example() == batch
