import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayrl.errors import DataError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged, offsets_of
from tests.experience.strategies import batches


def counting(lengths: list[int]) -> TrajectoryBatch:
    """Step s of trajectory t holds 100 t + s; the text of trajectory t is "t" repeated t times."""
    origin = [100 * t + s for t, length in enumerate(lengths) for s in range(length)]
    return TrajectoryBatch(
        {"obs": np.array(origin), "note": Ragged.from_text(map(str, origin))},
        offsets_of(lengths),
        {"domain": Ragged.from_text("t" * t for t in range(len(lengths))), "weight": np.arange(len(lengths))},
    )


def test_sizes_and_positions() -> None:
    batch = counting([3, 1, 2])
    assert (batch.num_steps, batch.num_trajectories) == (6, 3)
    assert batch.lengths.tolist() == [3, 1, 2]
    assert batch.trajectory_of_row().tolist() == [0, 0, 0, 1, 2, 2]
    assert batch.step_of_row().tolist() == [0, 1, 2, 0, 0, 1]
    # obs 6×8, note 1+1+1+3+3+3 bytes and 7×8, offsets 4×8, domain 3 bytes and 4×8, weight 3×8
    assert batch.nbytes == 48 + 12 + 56 + 32 + 35 + 24


def test_no_trajectories_is_a_batch() -> None:
    batch = counting([])
    batch.validate()
    assert (batch.num_steps, batch.num_trajectories) == (0, 0)
    assert batch.select(np.array([], np.int64)) == batch


def test_selection_gathers_whole_trajectories() -> None:
    picked = counting([3, 1, 2]).select(np.array([2, 0, 2]))
    picked.validate()
    assert picked.columns["obs"].tolist() == [200, 201, 0, 1, 2, 200, 201]
    assert picked.columns["note"].to_text() == ["200", "201", "0", "1", "2", "200", "201"]
    assert picked.offsets.tolist() == [0, 2, 5, 7]
    assert picked.trajectory_columns["weight"].tolist() == [2, 0, 2]
    assert picked.trajectory_columns["domain"].to_text() == ["tt", "", "tt"]


def test_a_contiguous_selection_is_a_view() -> None:
    batch = counting([3, 1, 2])
    for part in (batch.slice(1, 3), batch.select(np.array([1, 2]))):
        assert part.columns["obs"].tolist() == [100, 200, 201]
        assert np.shares_memory(part.columns["obs"], batch.columns["obs"])
        assert np.shares_memory(part.columns["note"].values, batch.columns["note"].values)
        assert np.shares_memory(part.trajectory_columns["weight"], batch.trajectory_columns["weight"])


@pytest.mark.parametrize("wrong", [[-1], [3], [0, 7]])
def test_trajectories_that_do_not_exist_are_refused(wrong: list[int]) -> None:
    with pytest.raises(IndexError, match="of 3"):
        counting([3, 1, 2]).select(np.array(wrong))


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 1), (0, 4)])
def test_slices_that_do_not_exist_are_refused(start: int, stop: int) -> None:
    with pytest.raises(IndexError, match="of 3"):
        counting([3, 1, 2]).slice(start, stop)


@settings(deadline=None, max_examples=60)
@given(batches(min_trajectories=1), st.data())
def test_selecting_is_joining_single_trajectories(batch: TrajectoryBatch, data: st.DataObject) -> None:
    batch.validate()
    last = batch.num_trajectories - 1
    chosen = data.draw(st.lists(st.integers(0, last), min_size=1, max_size=6))
    picked = batch.select(np.array(chosen))
    picked.validate()
    assert picked == TrajectoryBatch.concat([batch.slice(index, index + 1) for index in chosen])


@pytest.mark.parametrize(
    ("lengths", "shards", "expected"),
    [
        ([5, 5, 5, 5], 2, [[5, 5], [5, 5]]),
        ([3, 1, 2], 2, [[3], [1, 2]]),
        ([1, 1, 1, 9], 2, [[1, 1, 1], [9]]),
        ([9, 1, 1, 1], 2, [[9], [1, 1, 1]]),
        # 10 rows for 3: the first cut is nearest to 3.33 (at 4), the second to 4 + 3 (at 7).
        ([2, 2, 3, 3], 3, [[2, 2], [3], [3]]),
        ([100, 1, 1], 3, [[100], [1], [1]]),
        ([1, 1, 100], 3, [[1], [1], [100]]),
        ([4, 4], 3, [[4], [4], []]),
        ([], 2, [[], []]),
    ],
)
def test_shards_have_nearly_equal_rows(lengths: list[int], shards: int, expected: list[list[int]]) -> None:
    batch = counting(lengths)
    parts = batch.split_by_rows(shards)
    assert [part.lengths.tolist() for part in parts] == expected
    assert TrajectoryBatch.concat(parts) == batch


def test_a_split_into_no_shards_is_refused() -> None:
    with pytest.raises(ValueError, match="0 shards"):
        counting([1]).split_by_rows(0)


@given(st.lists(st.integers(1, 30), max_size=30), st.integers(1, 6))
def test_shards_lose_nothing_and_are_empty_only_when_they_must(lengths: list[int], shards: int) -> None:
    parts = [part.lengths.tolist() for part in counting(lengths).split_by_rows(shards)]
    assert [length for part in parts for length in part] == lengths
    assert sum(not part for part in parts) == max(shards - len(lengths), 0)
    if len(lengths) >= 2 * shards:
        fair = sum(lengths) / shards
        assert max(map(sum, parts)) <= fair + max(lengths)


def test_columns_are_added_and_dropped_without_touching_the_batch() -> None:
    batch = counting([2])
    more = batch.with_columns(**{"obs/a": np.zeros(2)}).with_trajectory_columns(seed=np.zeros(1))
    assert list(more.columns) == ["obs", "note", "obs/a"]
    assert list(more.trajectory_columns) == ["domain", "weight", "seed"]
    assert list(batch.columns) == ["obs", "note"]
    assert more.columns["obs"] is batch.columns["obs"]
    assert more.drop(["obs/a", "seed"]) == batch
    with pytest.raises(DataError, match="no column 'wieght'; did you mean 'weight'"):
        batch.drop(["wieght"])


def test_joining_names_the_column_that_differs() -> None:
    batch = counting([2])
    assert TrajectoryBatch.concat([batch]) is batch
    for other, words in [
        (batch.drop(["obs"]), "obs: is a column of some"),
        (batch.with_columns(obs=np.zeros(2)), "obs: is array int64 .* float64"),
        (batch.with_columns(note=np.zeros(2)), "note: is text"),
        (batch.with_trajectory_columns(weight=np.zeros((1, 2), int)), "weight: is array"),
    ]:
        with pytest.raises(DataError, match=words):
            TrajectoryBatch.concat([batch, other])
    with pytest.raises(DataError, match="no batches"):
        TrajectoryBatch.concat([])


@pytest.mark.parametrize(
    ("columns", "where", "words"),
    [
        ({"obs": np.zeros(3)}, "obs", "3 rows .* ask for 4"),
        ({"obs": Ragged.from_text("abc")}, "obs", "3 rows .* ask for 4"),
        ({"obs": np.array(["a"] * 4)}, "obs", "dtype"),
        ({"obs": np.array([None] * 4)}, "obs", "dtype"),
        ({"obs": np.zeros(4, ">f4")}, "obs", "dtype >f4"),
        ({"": np.zeros(4)}, None, "name is empty"),
        ({"obs": Ragged(np.zeros(3), np.array([0, 1, 2, 9, 3]))}, "obs", "fall"),
        ({"obs": Ragged(np.zeros(3), np.array([0, 1, 2, 2, 2]))}, "obs", "end at 2, not 3"),
        ({"weight": np.zeros(4)}, "weight", "both"),
    ],
)
def test_a_broken_step_column_is_named(columns: dict[str, Column], where: str | None, words: str) -> None:
    batch = counting([3, 1])
    broken = TrajectoryBatch(columns, batch.offsets, batch.trajectory_columns)
    with pytest.raises(DataError, match=words) as caught:
        broken.validate()
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("offsets", "words"),
    [
        ([0, 3, 3, 4], "trajectory 1 has no steps"),
        ([0, 3, 2, 4], "fall"),
        ([1, 4], "start at 1"),
        ([], r"not int64 \(0,\)"),
    ],
)
def test_broken_offsets_are_named(offsets: list[int], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        TrajectoryBatch({"obs": np.zeros(4)}, np.array(offsets, np.int64), {}).validate()
    assert caught.value.where == "offsets"


def test_a_named_trajectory_column_has_the_formats_type() -> None:
    with pytest.raises(DataError, match="episode_id: is array int64") as caught:
        counting([2]).with_trajectory_columns(episode_id=np.zeros((1, 2), np.int64)).validate()
    assert "array uint64 (2,)" in caught.value.message


def test_equality_is_of_bits() -> None:
    batch = counting([2])
    nan = batch.with_columns(obs=np.array([np.nan, 1]))
    assert nan == batch.with_columns(obs=np.array([np.nan, 1]))
    assert nan != batch.with_columns(obs=np.array([np.nan, 2]))
    assert nan != batch
    assert batch.with_columns(obs=Ragged.from_text("ab")) != batch.with_columns(obs=np.zeros(2))
    assert batch != counting([1, 1]).drop(["domain"])
