"""Which trajectories go to which learner, told by rows that carry their own number."""

import numpy as np
import pytest

from rayrl.algorithms.experience_data import ExperienceData, Part, shard_parts
from rayrl.errors import TrainingError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import offsets_of


def batch(first_row, lengths):
    offsets = offsets_of(np.array(lengths))
    rows = first_row + np.arange(offsets[-1])
    return TrajectoryBatch({"row": rows}, offsets, {"length": np.array(lengths)})


def whole(first_row, lengths):
    made = batch(first_row, lengths)
    return Part.whole(made, made.lengths)


def rows_of(data):
    return data.fetch().columns["row"].tolist()


def test_shards_are_cut_between_trajectories_over_several_batches():
    # 3 + 5 and 4 + 2 rows in two shards of nearly 7: the cut after 8 rows is nearer than the one after 3.
    data = ExperienceData(parts=[whole(0, [3, 5]), whole(100, [4, 2])])
    (first, _), (second, _) = data.shard(2)
    assert rows_of(first) == list(range(8))
    assert rows_of(second) == list(range(100, 106))


def test_a_shard_may_take_parts_of_several_batches():
    data = ExperienceData(parts=[whole(0, [2, 2]), whole(100, [2]), whole(200, [2, 2, 2])])
    shards = [rows_of(shard) for shard, _ in data.shard(3)]
    assert shards == [[0, 1, 2, 3], [100, 101, 200, 201], [202, 203, 204, 205]]


def test_a_shard_without_trajectories_still_tells_its_columns():
    (_, _), (second, _) = ExperienceData(parts=[whole(0, [5])]).shard(2)
    trajectories = second.fetch()
    assert (trajectories.num_steps, trajectories.num_trajectories) == (0, 0)
    assert trajectories.columns.keys() == {"row"}


def test_shards_of_shards():
    parts = [whole(0, [1, 1, 1, 1])]
    halves = shard_parts(parts, 2)
    assert [rows_of(ExperienceData(parts=part)) for part in shard_parts(halves[1], 2)] == [[2], [3]]


def test_the_batches_are_fetched_once():
    data = ExperienceData(parts=[whole(0, [2]), whole(10, [1])])
    data.solve_refs()
    assert data.parts == []
    assert data.fetch() is data.trajectories
    assert rows_of(data) == [0, 1, 10]


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(TrainingError, match="no experience"):
        ExperienceData().validate()
