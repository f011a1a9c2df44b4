"""Rows in the order of time, without padding, worked out by hand."""

import numpy as np
import pytest
import torch

from rayrl.models.observed import Observed
from rayrl.models.sequences import Sequences, chunks, evaluate_rows, pack


def test_stretches_are_packed_by_time_and_the_longest_come_first():
    packing = pack(np.array([10, 20, 30]), np.array([1, 3, 2]))
    assert packing.order.tolist() == [1, 2, 0]
    # b0 c0 a0 | b1 c1 | b2
    assert packing.rows.tolist() == [20, 30, 10, 21, 31, 22]
    assert packing.batch_sizes.tolist() == [3, 2, 1]
    assert packing.rows[packing.last].tolist() == [22, 31, 10]
    sequences = packing.sequences(torch.tensor([[1.0], [2.0], [3.0]]))
    assert sequences.state.flatten().tolist() == [2, 3, 1]
    assert sequences.batch_sizes.tolist() == [3, 2, 1]


def test_stretches_of_one_length_stay_in_order():
    packing = pack(np.array([4, 0, 2]), np.array([2, 2, 2]))
    assert packing.rows.tolist() == [4, 0, 2, 5, 1, 3]
    assert packing.batch_sizes.tolist() == [3, 3]


def test_nothing_is_packed_into_nothing():
    packing = pack(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert len(packing.rows) == len(packing.batch_sizes) == 0
    assert Sequences.steps(torch.zeros(0, 2)).batch_sizes.tolist() == []
    assert Sequences.steps(torch.zeros(3, 2)).batch_sizes.tolist() == [3]


def test_whole_trajectories_are_taken_at_once_where_something_is_remembered():
    offsets = np.array([0, 1, 4, 6, 16])
    found = list(chunks(offsets, torch.arange(4.0).reshape(4, 1), limit=4))
    assert [rows.tolist() for rows, _ in found] == [[1, 0, 2, 3], [4, 5], list(range(6, 16))]
    assert [sequences.state.flatten().tolist() for _, sequences in found] == [[1, 0], [2], [3]]


def test_rows_are_taken_as_they_come_where_nothing_is_remembered():
    found = list(chunks(np.array([0, 1, 6]), torch.zeros(2, 0), limit=4))
    assert found == [(slice(0, 4), None), (slice(4, 6), None)]
    assert list(chunks(np.array([0]), torch.zeros(0, 0))) == []
    assert list(chunks(np.array([0]), torch.zeros(0, 3))) == []


@pytest.mark.parametrize("size", [0, 2])
def test_what_a_function_gives_comes_back_in_the_order_of_the_rows(size):
    parts = {"obs": torch.arange(6.0).reshape(6, 1)}
    given = evaluate_rows(
        lambda parts, sequences: 10 * parts["obs"],
        Observed(parts),
        np.array([0, 1, 4, 6]),
        torch.zeros(3, size),
    )
    assert given.flatten().tolist() == [0, 10, 20, 30, 40, 50]
    none = evaluate_rows(
        lambda parts, sequences: parts["obs"].expand(-1, 7),
        Observed({"obs": torch.zeros(0, 1)}),
        np.array([0]),
        torch.zeros(0, size),
    )
    assert none.shape == (0, 7)
