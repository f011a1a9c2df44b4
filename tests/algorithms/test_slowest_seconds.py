"""How long sampling took, of workers side by side."""

from dataclasses import replace

from rayrl.algorithms.rollout_workers import slowest_seconds
from tests.algorithms.test_ledger import receipt


def test_workers_sample_side_by_side_and_each_in_turn():
    # Worker 1 was asked again after another one was lost: 2 + 3 against 4.
    receipts = [
        replace(receipt(producer, 0, sequence), seconds=seconds)
        for producer, sequence, seconds in ((1, 0, 2.0), (2, 0, 4.0), (1, 1, 3.0))
    ]
    assert slowest_seconds(receipts) == 5.0
