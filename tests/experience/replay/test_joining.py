"""What shards have saved, joined to one saved buffer."""

import numpy as np
import pytest

from rayrl.experience.replay import PriorityOptions, ReplayBuffer
from rayrl.experience.replay.joining import join_saved
from rayrl.experience.stored.opening import open_stored
from rayrl.experience.stored.sampling import check_samples
from rayrl.experience.stored.verification import verify
from tests.experience.replay.building import OPEN, TERMINATED, buffer, came_from, check_index, held


@pytest.fixture
def shards(tmp_path):
    """Three shards: one whose oldest steps are gone, one empty, one that is filling its first block."""
    made = [buffer(40, priorities=PriorityOptions(), val_fraction=0.3) for _ in range(3)]
    for sequence in range(9):
        made[0].add(came_from([(sequence, 0, 7, TERMINATED)], 0, sequence))
    made[2].add(came_from([(20, 0, 5, TERMINATED), (21, 0, 4, OPEN)], 1, 3))
    drawn = made[0].sample_transitions(20, sampler="prioritized")
    made[0].update_priorities(drawn.row_ids, np.linspace(0, 9, 20))
    return [one.save(tmp_path / f"shard_{i}") for i, one in enumerate(made)], made


def joined(folders, path, capacity=120):
    path.mkdir()
    join_saved(
        folders, path, buffer(capacity, priorities=PriorityOptions(), val_fraction=0.3).options, draws=7
    )
    return ReplayBuffer.load(path)


def test_all_that_shards_hold_is_there_once(shards, tmp_path):
    folders, made = shards
    whole = joined(folders, tmp_path / "whole")
    check_index(whole)
    assert len(whole) == 40 + 0 + 9
    assert held(whole) == held(made[0]) + held(made[2])
    assert whole.draws == 7
    kept = whole.get_partition_statistics()["online"]
    assert (kept["steps_added"], kept["steps_evicted"]) == (63 + 9, 23)
    # Sum of priorities as the shards have it.
    roots = [sum(one.storage.priorities.trees.roots[list(one.storage.partitions[0].blocks)]) for one in made]
    blocks = list(whole.storage.partitions[0].blocks)
    assert sum(whole.storage.priorities.trees.roots[blocks]) == pytest.approx(sum(roots))


def test_it_goes_on_as_one_buffer(shards, tmp_path):
    whole = joined(shards[0], tmp_path / "whole", capacity=60)
    # What was added before is known, an open episode goes on, and the oldest steps go first.
    assert whole.add(came_from([(8, 0, 7, TERMINATED)], 0, 8)).duplicates == 1
    before = held(whole)
    whole.add(came_from([(21, 4, 3, TERMINATED)], 1, 4))
    assert held(whole) == [*before[:-1], [21000, 21001, 21002, 21003, 21004, 21005, 21006]]
    whole.add(came_from([(30, 0, 20, TERMINATED)], 2, 0))
    assert len(whole) == 60
    check_index(whole)


def test_the_data_commands_read_it(shards, tmp_path):
    joined(shards[0], tmp_path / "whole")
    stored = open_stored(tmp_path / "whole")
    assert verify(stored) == []
    checks = list(check_samples(stored))
    assert [fault for check in checks for fault in check.faults] == []
    assert any(check.drawn for check in checks)
