"""n-step returns over seams, ends and open tips; step s of episode e shows 1000 e + s and rewards as much."""

from typing import Any

import numpy as np
import pytest

from rayrl.errors import DataError
from rayrl.experience.replay import ReplayBuffer, Where
from rayrl.experience.replay.samples import TransitionSample
from tests.experience.replay.building import OPEN, TERMINATED, TRUNCATED, batch, buffer


def by_step(of: ReplayBuffer, **options: Any) -> dict[int, dict[str, Any]]:
    """Every transition, by what its first step shows."""
    drawn = of.sample_transitions(60 * len(of), **options)
    actions: Any = drawn.columns["actions"]
    _, first = np.unique(actions, return_index=True)
    return {
        int(actions[i]): {name: column[i] for name, column in drawn.columns.items()}  # type: ignore[index]
        for i in first
    }


@pytest.fixture
def short() -> ReplayBuffer:
    """Episode 1 of four steps terminates, 2 of three is truncated, 3 is open after two; all over seams."""
    of = buffer()
    of.add(batch([(1, 0, 3, OPEN), (2, 0, 2, OPEN), (3, 0, 1, OPEN)]))
    of.add(batch([(1, 3, 1, TERMINATED), (2, 2, 1, TRUNCATED), (3, 1, 1, OPEN)]))
    return of


def test_returns_of_three_steps(short: ReplayBuffer) -> None:
    found = by_step(short, n_step=3, gamma=0.5)
    assert len(found) == 4 + 3 + 2
    expected = {
        # shown: (return, discount, steps, next observation, terminated, truncated)
        1000: (1000 + 0.5 * 1001 + 0.25 * 1002, 0.125, 3, 1003, False, False),  # over the seam
        1001: (1001 + 0.5 * 1002 + 0.25 * 1003, 0.125, 3, 1004, True, False),
        1002: (1002 + 0.5 * 1003, 0.25, 2, 1004, True, False),
        1003: (1003, 0.5, 1, 1004, True, False),
        2000: (2000 + 0.5 * 2001 + 0.25 * 2002, 0.125, 3, 2003, False, True),
        2001: (2001 + 0.5 * 2002, 0.25, 2, 2003, False, True),
        2002: (2002, 0.5, 1, 2003, False, True),
        3000: (3000 + 0.5 * 3001, 0.25, 2, 3002, False, False),  # the episode goes on, but not here yet
        3001: (3001, 0.5, 1, 3002, False, False),
    }
    for shown, (returned, discount, steps, following, terminated, truncated) in expected.items():
        row = found[shown]
        assert row["rewards"] == np.float32(returned)
        assert (row["discounts"], row["n_steps"]) == (np.float32(discount), steps)
        assert row["obs"].tolist() == [shown, shown]
        assert row["next_obs"].tolist() == [following, following]
        assert (row["terminated"], row["truncated"]) == (terminated, truncated)
        assert row["note"] == -shown


def test_an_open_tip_goes_on_when_more_comes(short: ReplayBuffer) -> None:
    short.add(batch([(3, 2, 2, TERMINATED)]))
    row = by_step(short, n_step=3, gamma=0.5)[3001]
    assert row["rewards"] == np.float32(3001 + 0.5 * 3002 + 0.25 * 3003)
    assert row["terminated"]
    assert row["next_obs"][0] == 3004


def test_a_gap_cuts_the_trajectory() -> None:
    of = buffer()
    of.add(batch([(1, 0, 2, OPEN)]))
    of.add(batch([(1, 3, 2, TERMINATED)]))
    found = by_step(of, n_step=3, gamma=1.0)
    assert (found[1001]["rewards"], found[1001]["n_steps"], found[1001]["terminated"]) == (1001, 1, False)
    assert found[1001]["next_obs"][0] == 1002
    assert of.num_trajectories == 2


@pytest.mark.parametrize("n_step", [1, 2, 5, 40])
def test_returns_over_many_seams_and_blocks(n_step: int) -> None:
    of, gamma, length = buffer(), 0.9, 100
    for first in range(0, length, 5):
        end = TERMINATED if first + 5 == length else OPEN
        of.add(batch([(e, first, 5, end) for e in range(3)]))
    found = by_step(of, n_step=n_step, gamma=gamma)
    assert len(found) == 3 * length
    for shown, row in found.items():
        steps = min(n_step, length - shown % 1000)
        returned = sum(gamma**k * (shown + k) for k in range(steps))
        np.testing.assert_allclose(row["rewards"], returned, rtol=1e-6)
        np.testing.assert_allclose(row["discounts"], gamma**steps, rtol=1e-6)
        assert row["next_obs"][0] == shown + steps
        assert row["terminated"] == (shown % 1000 + n_step >= length)


def test_only_the_columns_asked_for(short: ReplayBuffer) -> None:
    assert "note" in short.sample_transitions(2).columns
    assert "note" not in short.sample_transitions(2, columns=()).columns
    with pytest.raises(DataError, match="columns: no step column 'nope' among obs, actions, rewards, note"):
        short.sample_transitions(2, columns=("nope",))


def test_tensors(short: ReplayBuffer) -> None:
    drawn: TransitionSample = short.sample_transitions(8)
    assert drawn.obs.shape == drawn.next_obs.shape == (8, 2)
    assert drawn.rewards.shape == drawn.dones.shape == drawn.actions.shape == (8,)
    assert (drawn.obs[:, 0].long() == drawn.actions).all()


def test_nothing_to_draw() -> None:
    of = buffer()
    with pytest.raises(DataError, match="no steps to draw: there are none"):
        of.sample_transitions(1)
    of.add(batch([(1, 0, 2, TERMINATED)]))
    with pytest.raises(DataError, match="no steps with split 'val' to draw"):
        of.sample_transitions(1, where=Where(split="val"))
    with pytest.raises(DataError, match="no fragments of 3 steps to draw"):
        of.sample_fragments(1)
    with pytest.raises(DataError, match="no split is named 'test'"):
        of.sample_fragments(1, split="test")
