from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rayrl.experience.replay import ReplayBuffer
from tests.experience.replay.building import OPEN, TERMINATED, TRUNCATED, batch, buffer, held


@pytest.fixture
def of() -> ReplayBuffer:
    """Episodes of 7, 2 and 12 steps, the last one in parts over several blocks, and an open one of 4."""
    of = buffer()
    of.add(batch([(1, 0, 7, TERMINATED), (3, 0, 5, OPEN), (2, 0, 2, TERMINATED)]))
    of.add(batch([(3, 5, 1, OPEN), (4, 0, 4, OPEN)]))
    of.add(batch([(3, 6, 6, TRUNCATED)]))
    return of


def test_every_window_of_one_episode_is_as_likely(of: ReplayBuffer) -> None:
    n = 20_000
    drawn = of.sample_fragments(n, 3)
    actions: Any = drawn.columns["actions"]
    assert actions.shape == (n, 3)
    assert (np.diff(actions, axis=1) == 1).all()
    assert (drawn.columns["note"] == -actions).all()
    counts = Counter(actions[:, 0].tolist())
    windows = [1000 * e + s for e, length in ((1, 7), (3, 12), (4, 4)) for s in range(length - 2)]
    assert set(counts) == set(windows)
    assert stats.chisquare([counts[window] for window in windows]).pvalue > 1e-3


def test_dones_are_where_the_episode_ends(of: ReplayBuffer) -> None:
    drawn = of.sample_fragments(500, 4)
    ends = drawn.actions[:, -1]
    assert (drawn.dones[:, -1] == ((ends == 1006) | (ends == 3011))).all()
    assert not drawn.dones[:, :-1].any()
    assert drawn.columns["terminated"][:, -1].tolist() == (ends == 1006).tolist()  # type: ignore[index]


def test_trajectories_are_whole(of: ReplayBuffer) -> None:
    drawn = of.sample_trajectories(300, min_length=4)
    assert len(drawn) == 300
    starts, stops = drawn.offsets[:-1], drawn.offsets[1:]
    shown = {tuple(drawn.actions[a:b].tolist()) for a, b in zip(starts, stops, strict=True)}
    assert shown == {tuple(one) for one in held(of) if len(one) >= 4}
    assert drawn.dones.nonzero().reshape(-1).tolist() == [
        stop - 1 for stop in stops if drawn.actions[stop - 1] in (1006, 3011)
    ]


def test_all_trajectories_come_oldest_first(of: ReplayBuffer) -> None:
    assert [one[0] for one in held(of)] == [1000, 3000, 2000, 4000]
    everything = of.get_all_trajectories()
    assert everything.obs.shape == (25, 2)
    columns: Any = everything.batch.trajectory_columns
    assert columns["first_step"].tolist() == [0, 0, 0, 0]
    assert columns["final_obs"][:, 0].tolist() == [1007, 3012, 2002, 4004]
