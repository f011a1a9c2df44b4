"""Sequences cut from trajectories, and minibatches of them, by hand."""

import numpy as np
import pytest
import torch

from rayrl.algorithms.sequence_table import SequenceTable
from rayrl.algorithms.shuffling import ShuffledRows, ShuffledSequences, sequences_of

OFFSETS = np.array([0, 7, 9])


def adding(columns, sequences):
    """Remembers the sum of what was observed: a memory whose right answers are known."""
    rows, left, at = [], sequences.state.clone(), 0
    for size in sequences.batch_sizes.tolist():
        left = left[:size] + columns["obs"][at : at + size]
        rows.append(left)
        at += size
    return torch.cat(rows)


def after_each_row(observations, states):
    parts = [observations[a:b].cumsum(0) + states[i] for i, (a, b) in enumerate([(0, 7), (7, 9)])]
    return torch.cat(parts)


def test_trajectories_are_cut_from_their_beginning_on():
    states = torch.tensor([[100.0], [200.0]])
    after = after_each_row(torch.arange(9.0).reshape(9, 1), states)
    table = SequenceTable.cut(OFFSETS, states, length=3, burn_in=2, after=after)
    assert table.starts.tolist() == [0, 3, 6, 7]
    assert table.lengths.tolist() == [3, 3, 1, 2]
    assert table.burn_ins.tolist() == [0, 2, 2, 0]
    # Before row 0, row 1 (100 + 0), row 4 (100 + 0 + 1 + 2 + 3), row 7.
    assert table.states.flatten().tolist() == [100, 100, 106, 200]


def test_a_burn_in_that_reaches_the_beginning_begins_there():
    table = SequenceTable.cut(OFFSETS, torch.ones(2, 1), length=3, burn_in=4, after=None)
    assert table.burn_ins.tolist() == [0, 3, 4, 0]
    # Only the third begins within its episode, of which nothing is known without ``after``.
    assert table.states.flatten().tolist() == [1, 1, 0, 1]
    assert SequenceTable.cut(np.array([0]), torch.ones(0, 1), length=3, burn_in=4).starts.tolist() == []


@pytest.mark.parametrize("burn_in", [0, 1, 2, 5])
def test_every_sequence_has_what_was_remembered_before_it(burn_in):
    observations = 1 + torch.arange(9.0).reshape(9, 1)
    states = torch.tensor([[100.0], [200.0]])
    after = after_each_row(observations, states)
    table = SequenceTable.cut(OFFSETS, states, length=3, burn_in=burn_in, after=after)
    columns = {"obs": observations, "row": torch.arange(9)}
    shuffled = ShuffledSequences(columns, table, adding, minibatch_size=4)
    assert (shuffled.units, shuffled.rows, shuffled.steps) == (4, 9, 2)
    seen = []
    for minibatch, total in shuffled.epoch(np.array([2, 1, 3, 0])):
        assert len(minibatch["row"]) == total
        rows, sequences = minibatch["row"], sequences_of(minibatch)
        first = rows[: len(sequences.state)]
        known = torch.cat([states, after])  # before rows 0 and 7, and after each row
        before = [0 if row == 0 else 1 if row == 7 else row + 1 for row in first.tolist()]
        torch.testing.assert_close(sequences.state, known[before])
        torch.testing.assert_close(adding(minibatch, sequences), after[rows])
        seen.append(sorted(rows.tolist()))
    assert seen == [[3, 4, 5, 6], [0, 1, 2, 7, 8]]


def test_a_burn_in_gets_no_gradient():
    observations = torch.ones(9, 1, requires_grad=True)
    table = SequenceTable.cut(OFFSETS, torch.zeros(2, 1), length=3, burn_in=2)
    columns = {"obs": observations, "row": torch.arange(9)}
    ((minibatch, _),) = ShuffledSequences(columns, table, adding, None).epoch(np.arange(4))
    rows, sequences = minibatch["row"], sequences_of(minibatch)
    assert not sequences.state.requires_grad
    # Of rows 1 and 2, in each of which 1 was observed, before the sequence of row 3.
    assert sequences.state[rows[:4] == 3].item() == 2
    learned = (rows >= 3) & (rows < 6)
    adding(minibatch, sequences)[learned].sum().backward()
    assert observations.grad.flatten().tolist() == [0, 0, 0, 3, 2, 1, 0, 0, 0]


def test_there_are_no_more_minibatches_than_sequences():
    table = SequenceTable.cut(OFFSETS, torch.zeros(2, 1), length=7, burn_in=0)
    shuffled = ShuffledSequences({"obs": torch.zeros(9, 1)}, table, adding, minibatch_size=1)
    assert shuffled.steps == 2
    assert [total for _, total in shuffled.epoch(np.array([0, 1]))] == [7, 2]


def test_rows_are_shuffled_as_they_are():
    columns = {"obs": torch.arange(5.0)}
    shuffled = ShuffledRows(columns, 2)
    order = np.array([4, 2, 0, 1, 3])
    assert (shuffled.units, shuffled.rows, shuffled.steps) == (5, 5, 3)
    epoch = list(shuffled.epoch(order))
    assert [minibatch["obs"].tolist() for minibatch, _ in epoch] == [[4], [2, 0], [1, 3]]
    assert [total for _, total in epoch] == [1, 2, 2]
    assert sequences_of(epoch[0][0]) is None
