import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayrl.errors import DataError
from rayrl.experience.ragged import Ragged, gather_index, offsets_of, same_bits
from tests.experience.strategies import raggeds


def test_rows_are_found_between_offsets() -> None:
    column = Ragged(np.arange(10, 15), np.array([0, 2, 2, 5]))
    assert [column[row].tolist() for row in range(3)] == [[10, 11], [], [12, 13, 14]]
    assert column[-1].tolist() == [12, 13, 14]
    assert len(column) == 3
    assert column.lengths.tolist() == [2, 0, 3]
    assert column.nbytes == 5 * 8 + 4 * 8
    with pytest.raises(IndexError):
        column[3]


def test_gathering_is_worked_out_by_hand() -> None:
    # Rows 2, 0, 2 of lengths 3, 2, 3 stand at elements 2..4, 0..1 and 2..4.
    elements, offsets = gather_index(np.array([0, 2, 2, 5]), np.array([2, 0, 2]))
    assert elements.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]
    assert offsets.tolist() == [0, 3, 5, 8]


def test_text_is_utf8_and_comes_back() -> None:
    texts = ["", "aé", "\N{GRINNING FACE}", "\0"]
    column = Ragged.from_text(texts)
    assert column.to_text() == texts
    assert column.lengths.tolist() == [0, 3, 4, 1]
    assert Ragged.from_text([]).to_text() == []


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="surrogate"):
        Ragged.from_text(["\ud800"])
    with pytest.raises(DataError, match="not text"):
        Ragged(np.zeros(2, np.uint8), np.array([0, 2])).to_text()
    with pytest.raises(DataError, match="UTF-8"):
        Ragged(np.array([255], np.uint8), np.array([0, 1]), is_text=True).to_text()


@settings(deadline=None)
@given(raggeds(rows=5), st.lists(st.integers(0, 4), max_size=7))
def test_take_gives_the_rows_asked_for(column: Ragged, rows: list[int]) -> None:
    taken = column.take(np.array(rows, np.int64))
    taken.validate("taken")
    assert len(taken) == len(rows)
    for index, row in enumerate(rows):
        assert same_bits(taken[index], column[row])


@settings(deadline=None)
@given(raggeds(rows=5), st.integers(0, 5), st.integers(0, 5))
def test_slices_join_to_the_whole(column: Ragged, a: int, b: int) -> None:
    low, high = sorted([a, b])
    parts = [column.slice(0, low), column.slice(low, high), column.slice(high, 5)]
    assert [len(part) for part in parts] == [low, high - low, 5 - high]
    assert Ragged.concat(parts) == column


def test_slices_share_memory() -> None:
    column = Ragged(np.arange(10), np.array([0, 3, 6, 10]))
    assert np.shares_memory(column.slice(1, 3).values, column.values)


def test_rows_are_joined_only_if_alike() -> None:
    joined = Ragged.from_rows([np.ones((2, 3)), np.zeros((0, 3))])
    assert joined.lengths.tolist() == [2, 0]
    with pytest.raises(DataError, match="one dtype"):
        Ragged.from_rows([np.ones(2), np.ones(2, np.float32)])
    with pytest.raises(DataError, match="one dtype"):
        Ragged.from_rows([])


def test_equality_is_of_bits() -> None:
    offsets = offsets_of([1, 1])
    nan = Ragged(np.array([np.nan, 0.0]), offsets)
    assert nan == Ragged(np.array([np.nan, 0.0]), offsets)
    assert nan != Ragged(np.array([np.nan, -0.0]), offsets)
    assert nan != Ragged(np.array([np.nan, 0.0]), offsets_of([2, 0]))
    assert nan != Ragged(np.array([np.nan, 0.0], np.float32), offsets)
    data = np.array([97, 98], np.uint8)
    assert Ragged(data, offsets) != Ragged(data, offsets, is_text=True)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Ragged(np.zeros(3), np.array([0, 2])), "end at 2, not 3"),
        (Ragged(np.zeros(3), np.array([1, 3])), "start at 1"),
        (Ragged(np.zeros(3), np.array([0, 2, 1, 3])), "fall"),
        (Ragged(np.zeros(3), np.array([0, 3], np.int32)), "int32"),
        (Ragged(np.zeros(0), np.array([], np.int64)), "int64"),
        (Ragged(np.zeros(3), np.array([0, 3]), is_text=True), "float64"),
        (Ragged(np.array([195, 40], np.uint8), np.array([0, 2]), is_text=True), "not valid UTF-8"),
        # "é" is two bytes; a row that ends between them is no text.
        (
            Ragged(np.frombuffer("é".encode(), np.uint8), np.array([0, 1, 2]), is_text=True),
            "inside a character",
        ),
    ],
)
def test_broken_columns_are_named(column: Ragged, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        column.validate("prompt")
    assert caught.value.where == "prompt"
