"""Ledger: which batch comes next from each env runner, so that a restarted one is noticed."""

from __future__ import annotations

from typing import Any, NamedTuple

from rayrl.rollout.receipt import Receipt


class Position(NamedTuple):
    """A batch of one worker.

    Args:
        epoch: how often the worker had been restarted.
        sequence: number of the batch within the epoch.
    """

    epoch: int
    sequence: int


class Ledger:
    """The next batch of every worker, by the worker's index.

    Ray restarts a worker that dies between two calls without telling anyone. Such a worker numbers its
    batches from the start again, which shows here.
    """

    def __init__(self) -> None:
        self._next: dict[int, Position] = {}

    def accept(self, receipt: Receipt) -> bool:
        """Whether a batch is the next one of its worker; if so, the one after it is expected from now on."""
        if (receipt.epoch, receipt.sequence) != self.position(receipt.producer):
            return False
        self._next[receipt.producer] = Position(receipt.epoch, receipt.sequence + 1)
        return True

    def position(self, worker: int) -> Position:
        """The batch that comes next from a worker."""
        return self._next.get(worker, Position(0, 0))

    def begin_epoch(self, worker: int, after: int = 0) -> int:
        """Starts the next epoch of a worker, one after ``after``; returns its number."""
        epoch = max(self.position(worker).epoch, after) + 1
        self._next[worker] = Position(epoch, 0)
        return epoch

    def get_state(self) -> dict[int, tuple[int, int]]:
        """The positions, as plain values."""
        return {worker: (position.epoch, position.sequence) for worker, position in self._next.items()}

    def set_state(self, state: dict[int, Any]) -> None:
        """Takes over what ``get_state`` gave."""
        self._next = {worker: Position(*position) for worker, position in state.items()}
