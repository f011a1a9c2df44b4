"""Parts that are held once for a trajectory come to each of its rows."""

import torch

from rayrl.models.observed import TRAJECTORY, Observed

ONCE = Observed(
    {"obs/step": torch.arange(5.0)},
    {"obs/level": torch.tensor([[1.0, 2.0], [3.0, 4.0]])},
    torch.tensor([0, 0, 0, 1, 1]),
)
EVERY_ROW = Observed({"obs": torch.arange(3.0)})


def test_rows_have_all_parts():
    taken = ONCE.take(torch.tensor([4, 0]))
    assert taken["obs/step"].tolist() == [4, 0]
    assert taken["obs/level"].tolist() == [[3, 4], [1, 2]]
    assert ONCE.take(slice(2, 4))["obs/level"].tolist() == [[1, 2], [3, 4]]
    assert EVERY_ROW.take(slice(1, 3))["obs"].tolist() == [1, 2]


def test_only_what_is_asked_for_is_repeated():
    assert ONCE.of(["obs/step", "obs/other"]).keys() == {"obs/step"}
    assert ONCE.of(["obs/level"])["obs/level"].shape == (5, 2)


def test_rows_say_which_trajectory_they_are_of_where_that_matters():
    assert ONCE.columns.keys() == {"obs/step", TRAJECTORY}
    assert EVERY_ROW.columns.keys() == {"obs"}
