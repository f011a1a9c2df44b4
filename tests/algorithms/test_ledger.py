import numpy as np

from rayrl.algorithms.ledger import Ledger
from rayrl.rollout.episodes import FinishedEpisodes
from rayrl.rollout.receipt import Receipt


def receipt(producer, epoch, sequence):
    none = FinishedEpisodes(np.empty(0), np.empty(0, np.int64), np.empty(0, np.float32))
    return Receipt(producer, epoch, sequence, np.array([1]), 0, none, 0.0, 0)


def test_batches_are_accepted_in_turn_for_each_worker():
    ledger = Ledger()
    assert ledger.accept(receipt(1, 0, 0))
    assert ledger.accept(receipt(1, 0, 1))
    assert ledger.accept(receipt(2, 0, 0))
    assert ledger.position(1) == (0, 2)


def test_a_worker_that_starts_over_is_noticed_and_begins_an_epoch():
    ledger = Ledger()
    ledger.accept(receipt(1, 0, 0))
    assert not ledger.accept(receipt(1, 0, 0))
    assert ledger.begin_epoch(1) == 1
    assert not ledger.accept(receipt(1, 0, 1))
    assert ledger.accept(receipt(1, 1, 0))
    assert ledger.begin_epoch(1) == 2


def test_positions_come_back():
    ledger, other = Ledger(), Ledger()
    ledger.begin_epoch(3)
    ledger.accept(receipt(3, 1, 0))
    other.set_state(ledger.get_state())
    assert other.position(3) == (1, 1)
